"""What was found, as pages for a browser. The only package that imports Plotly and Jinja."""
