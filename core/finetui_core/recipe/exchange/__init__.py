"""Recipes from and to the configs of other trainers: TRL, axolotl and LLaMA-Factory."""
