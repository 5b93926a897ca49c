"""Measuring models by what they answer: prompts, the choice of examples, and asking over the OpenAI protocol."""
