"""From images to features: pixels, histograms of gradients, patches."""
