"""CNN versus SVM on the same images: answers, scores, costs, and what follows from them."""
