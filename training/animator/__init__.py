"""The animator: reads who somebody is from layers of a drawing, once, and draws frames by moving the layers."""
