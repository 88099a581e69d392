"""Features and SVM joined: trained, saved, evaluated."""
