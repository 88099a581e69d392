"""CNN versus SVM on the same images: predictions, scores, costs, conclusions and the report."""
