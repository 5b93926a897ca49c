"""The places and beginnings that search and the command palette know, and the keys that lead to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Somewhere one can go; `also` are words one may look for it by."""

    label: str
    href: str
    icon: str
    also: str = ""
    keys: str = ""

    def answers_to(self, words: list[str]) -> bool:
        """Return whether each word begins one of its own."""
        own = f"{self.label} {self.also}".lower().split()
        return all(any(known.startswith(word.lower()) for known in own) for word in words)


PLACES = (
    Place("New run", "/runs/new", "plus", "train start training fine-tune", "n"),
    Place("Upload a dataset", "/datasets#upload", "upload", "data file import jsonl csv examples", "u"),
    Place("Home", "/", "home", "start overview", "g h"),
    Place("Goal", "/goal", "goal", "should i fine-tune advice ladder prompt rag task narrow how many examples", "g o"),
    Place("Recipes", "/goal#recipes", "goal", "start template pii masking code completion classification summarise translate brand voice"),
    Place("Data", "/datasets", "data", "datasets rows examples", "g d"),
    Place("Runs", "/runs", "train", "train training list", "g r"),
    Place("Board", "/board", "board", "team queue running waiting gpu", "g b"),
    Place("Wall screen", "/board?wall=1", "board", "board tv monitor team big"),
    Place("Chat", "/chat", "chat", "ask compare answers model", "g c"),
    Place("Base models", "/models", "model", "catalogue catalog base model llama qwen phi gemma licence size which one choose", "g m"),
    Place("API bill", "/cloud-costs", "price", "cloud shock cost calculator break-even money calculator own model"),
    Place("Measure a prompt", "/baselines", "compare", "baseline zero-shot few-shot retrieval rag before training test rows"),
    Place("Precision", "/precision", "model", "bits size memory quantisation nf4 int8 ternary fits"),
    Place("Prices", "/prices", "price", "money rent hour electricity kwh co2 cost estimate"),
    Place("Predicted and measured", "/estimates", "compare", "estimate error accuracy memory time cost learned"),
    Place("Workers", "/workers", "workers", "machines gpu devices memory", "g w"),
    Place("Settings", "/settings", "settings", "studio configuration", "g s"),
    Place("API keys", "/settings#keys", "key", "settings token secret bearer"),
    Place("Models on the Hub", "/models/hub", "search", "hugging face search download gated base model"),
    Place("Connections", "/settings#connections", "key", "settings hub token hf_token outside model openai gated"),
    Place("Webhooks", "/settings#webhooks", "bell", "settings notice notify when a run ends"),
    Place("This studio", "/settings#about", "settings", "settings database store home folder version"),
    Place("Tour", "/datasets?tour=1", "play", "take the tour help first steps sample begin"),
    Place("API", "/docs", "book", "rest openai openapi swagger documentation docs", "g a"),
)
"""Everything here has a page: a test opens each."""
