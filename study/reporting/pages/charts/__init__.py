"""The charts of the pages, as Plotly figures for a browser: numbers and names enter, figures leave.

No chart sets light or dark: the page gives axes and text their colours.
"""
