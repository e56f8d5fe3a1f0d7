"""Formats: arrays in and out of files; no Variable."""
