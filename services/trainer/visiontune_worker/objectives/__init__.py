"""What a training minimises: one module for each name in `visiontune_recipes.objectives`."""
