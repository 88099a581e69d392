"""What a data set is to the rest of the package: images of one shape, classes, superclasses."""

# The kinds of labels, as options, model files and reports spell them.
CLASSES, SUPERCLASSES = "fine", "coarse"
LABEL_KINDS = (SUPERCLASSES, CLASSES)
