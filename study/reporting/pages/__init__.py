"""Pages for a browser: of a study, of a trial, and of networks side by side. The only package that imports Plotly and Jinja."""
