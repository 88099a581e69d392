"""Features: from images to the samples that the SVM is trained on."""
