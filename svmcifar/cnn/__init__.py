"""The convolutional network that the SVM is compared with; PyTorch is imported only in here."""
