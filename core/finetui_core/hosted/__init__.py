"""Fine-tuning jobs of hosted platforms that speak the API that OpenAI made common."""
