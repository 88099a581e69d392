"""Families of networks that people train on CIFAR, built from the names and shapes of weights."""
