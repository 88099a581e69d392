"""Many settings of one SVM at once."""
