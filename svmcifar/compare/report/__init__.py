"""The report: figures, tables and the HTML page that compares classifiers."""
