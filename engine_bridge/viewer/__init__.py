"""The pygame window that shows a stream and moves its character. Importing this package does not import pygame."""
