"""From features to samples: standardising, principal components, class scores."""
