"""The recipe: one TOML file that says what a run is."""

from finetui_core.recipe.load import load_recipe, parse_recipe, recipe_json
from finetui_core.recipe.options import Recipe
from finetui_core.recipe.overrides import apply_overrides

__all__ = ["Recipe", "apply_overrides", "load_recipe", "parse_recipe", "recipe_json"]
