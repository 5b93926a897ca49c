"""Loading a checked base, and putting an adapter on it or opening its own weights to training."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer, ParamWrapper
from transformers import BitsAndBytesConfig, DynamicCache, FineGrainedFP8Config
from transformers.pytorch_utils import Conv1D
from transformers.utils.quantization_config import Mxfp4Config

from app.domain.errors import Invalid
from workers.training.failures import gpu_fault
from workers.training.loss import TrainedTokenLoss
from workers.training.pretrained import load_pretrained
from workers.training.tokenizer import first_line
from workers.training.weights import count_parameters, share_of
from workers.training.whole_model import open_up

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from app.domain.specs import TrainingSettings
    from workers.training.base_model import BaseModel
    from workers.training.precision import Precision
    from workers.training.report import Reporter
    from workers.training.whole_model import MasterWeights


UNPACKING = {"mxfp4": Mxfp4Config(dequantize=True), "fp8": FineGrainedFP8Config(dequantize=True)}
"""How weights may be quantised that are trained all the same: transformers unpacks them when it loads them."""
CHANGES = {"dropout": ("dropout", "Set settings.dropout to 0."), "dora": ("adapter", "Set settings.adapter to lora.")}
"""By what peft names when it refuses: the setting that is at fault, and what helps."""


@dataclass(frozen=True)
class LoadedModel:
    """A base with what is trained of it or beside it, and what belongs to both."""

    peft: PeftModel | None
    """None where the base's own weights are trained."""
    base: PreTrainedModel
    loss: TrainedTokenLoss
    device: torch.device
    base_parameters: int
    nf4_share: float | None
    masters: MasterWeights | None = None
    """Float32 copies of the base's weights, where those are trained and compute in fewer bits."""

    def trainable(self) -> list[torch.nn.Parameter]:
        """Return the weights that the optimiser moves, in float32."""
        return self.masters.weights if self.masters else [p for p in self.base.parameters() if p.requires_grad]

    def set_dropout(self, *, active: bool) -> None:
        """Switch the adapter's dropout; the base always stays in evaluation mode, so that a step depends on its rows alone."""
        for layer in _adapted(self.base):
            layer.lora_dropout.train(active)
            layer.training = active  # DoRA asks the layer itself


def choose_device(wanted: str, reporter: Reporter) -> torch.device:
    """Return the device to train on, or refuse a GPU that is not there or does not work."""
    if wanted == "cpu":
        return torch.device("cpu")
    with warnings.catch_warnings(record=True) as said:  # a driver at fault is only warned of
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
    complaint = "".join(str(warning.message) for warning in said[:1])
    if wanted == "auto":
        if complaint:
            reporter.notice(f"The CPU trains. {gpu_fault(complaint).message}")
        return torch.device("cpu")
    if complaint:
        raise gpu_fault(complaint)
    message = "The spec asks for a GPU, but this machine has none that torch can use. Set settings.device to auto or cpu."
    raise Invalid(message, param="device", code="no_gpu")


def load_model(base: BaseModel, settings: TrainingSettings, precision: Precision, device: torch.device) -> LoadedModel:
    """Return the base with what is trained of it or beside it."""
    unpacking = _unpacking(base, settings)
    share: float | None = None
    if settings.tuning == "qlora":
        model, share = _load_quantised(base, precision, device, adapter=settings.adapter)
    else:
        model = _load_plain(base, precision, device, unpacking)
    model.eval()
    parameters = count_parameters(model)
    loss = TrainedTokenLoss(model)
    if not loss.agrees_with(model):
        message = f"Models of type {base.config['model_type']!r} make their logits in a way that Hone does not know yet."
        raise Invalid(message, param="base_model", code="unknown_architecture")
    if not keeps_a_cache(model):
        message = f"Models of type {base.config['model_type']!r} answer without a cache of keys and values, so Hone cannot check them yet."
        raise Invalid(message, param="base_model", code="unknown_architecture")
    if settings.tuning == "full":
        masters = open_up(model)
        return LoadedModel(None, model, TrainedTokenLoss(model), device, parameters, share, masters)
    peft = _with_adapter(model, settings)
    return LoadedModel(peft, model, TrainedTokenLoss(model), device, parameters, share)


def _unpacking(base: BaseModel, settings: TrainingSettings) -> dict[str, Any]:
    """Return how transformers is to unpack a base's weights; Invalid where somebody has quantised them for answering alone."""
    quantised = base.config.get("quantization_config")
    if not quantised:
        return {}
    method = quantised.get("quant_method")
    if method not in UNPACKING:
        message = (
            f"The base's weights are quantised already ({method or 'nobody says how'}), which is good for answering and not for training. "
            "Choose the model that it was made from; with settings.tuning: qlora Hone quantises it itself."
        )
        raise Invalid(message, param="base_model", code="unknown_architecture")
    if settings.tuning == "qlora":
        message = (
            f"The base's weights are quantised in another way ({method}), so they cannot be held in 4 bits. Set settings.tuning to lora."
        )
        raise Invalid(message, param="tuning", code="not_quantisable")
    return {"quantization_config": UNPACKING[method]}


def _with_adapter(model: PreTrainedModel, settings: TrainingSettings) -> PeftModel:
    """Put a fresh adapter on every linear layer but the head; its first weights depend on the seed alone."""
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # fractions are fine: it is only divided by r
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        exclude_modules=_beside_the_language_model(model),
        use_dora=settings.adapter == "dora",
        use_rslora=settings.rslora,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's way to hold its weights
        task_type=TaskType.CAUSAL_LM,
    )
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # peft asks the model by a name that is going out of use
        try:
            peft: PeftModel = get_peft_model(model, config, autocast_adapter_dtype=True)
        except ValueError as error:  # what peft has no adapter for
            raise _not_adaptable(model, error) from error
    peft.eval()
    return peft


def _not_adaptable(model: PreTrainedModel, error: ValueError) -> Invalid:
    """Return peft's refusal in words that say what can be changed."""
    said = first_line(error)
    param, change = next((change for word, change in CHANGES.items() if word in said.lower()), ("base_model", "Choose another base."))
    message = f"An adapter cannot be put on models of type {model.config.model_type!r} like this: {said} {change}"
    return Invalid(message, param=param, code="unknown_architecture")


def _beside_the_language_model(model: PreTrainedModel) -> str | None:
    """Return a pattern of what a model holds beside its language model, such as an encoder of pictures, which no row of text moves."""
    decoder = model.get_decoder()
    on_the_way = [name for name, module in model.named_modules() if any(part is decoder for part in module.modules())]
    beside = [
        name
        for name, module in model.named_modules()
        if name not in on_the_way and name.rpartition(".")[0] in on_the_way[:-1] and module is not model.get_output_embeddings()
    ]
    return rf"({'|'.join(map(re.escape, beside))})(\..*)?" if beside else None


def adapted_share(model: PreTrainedModel) -> float:
    """Return which share of the weights in the layers' matrices the adapter reaches."""
    reached = {id(layer.get_param() if isinstance(layer, ParamWrapper) else layer.get_base_layer().weight) for layer in _adapted(model)}
    return share_of(model, lambda _, weight: id(weight) in reached)


def _adapted(model: PreTrainedModel) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, LoraLayer)]


@torch.no_grad()
def keeps_a_cache(model: PreTrainedModel) -> bool:
    """Say whether the model answers from the kind of cache that lets rows leave a batch; pure state-space models do not."""
    out = model(input_ids=torch.ones(1, 2, dtype=torch.long, device=model.device), use_cache=True)
    return isinstance(getattr(out, "past_key_values", None), DynamicCache)


def _load_plain(base: BaseModel, precision: Precision, device: torch.device, unpacking: dict[str, Any]) -> PreTrainedModel:
    model: Any = load_pretrained(base.folder, dtype=precision.dtype, **unpacking)
    moved: PreTrainedModel = model.to(device)
    return moved


def _load_quantised(base: BaseModel, precision: Precision, device: torch.device, *, adapter: str) -> tuple[PreTrainedModel, float]:
    from workers.training.nf4 import check_dora, check_nf4, prepare_for_cpu

    quantisation = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=precision.dtype
    )
    model = load_pretrained(base.folder, dtype=precision.dtype, quantization_config=quantisation, device_map={"": str(device)})
    if device.type == "cpu":
        prepare_for_cpu(model)
    if adapter == "dora":
        check_dora(model)
    return model, check_nf4(model)
