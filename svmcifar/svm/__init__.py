"""An exact multiclass RBF-kernel SVM; it knows no images."""
