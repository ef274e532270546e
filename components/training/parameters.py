"""Parameters of training, shared by the primary module, the heads and the baselines."""

from typing import Literal

from pydantic import Field, model_validator

from components.models.parameters import LayerParameters, Precision
from components.parameters import Parameters
from components.training.augmentation_parameters import AugmentationParameters

BaselineArchitecture = Literal["gdaconv", "postpool", "notl"]
BaselineTask = Literal["detection", "attribution", "multiclass"]


class OperatingPointParameters(Parameters):
    """How the threshold of a trained model is chosen.

    Attributes:
        rule: "balanced_accuracy", the threshold that maximises balanced accuracy on the eval split; "target_fpr", the
            lowest at which at most `target_fpr` of the eval split's negative images are called positive; or "fixed".
        threshold: the threshold of rule "fixed"; the published method uses 0.5.
        target_fpr: false-positive rate of rule "target_fpr"; 1 / target_fpr negative images are needed to claim it.
    """

    rule: Literal["balanced_accuracy", "target_fpr", "fixed"] = "balanced_accuracy"
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    target_fpr: float = Field(default=0.01, gt=0.0, lt=1.0)

    @property
    def value(self) -> float:
        """The number that the rule goes by."""
        return self.target_fpr if self.rule == "target_fpr" else self.threshold


class AuxiliaryParameters(Parameters):
    """A second task of the primary module during training; nothing of it is saved or served.

    Attributes:
        weight: factor of the second task's loss, at each of the two places where it is computed.
        kind: "softmax", which source of the train split an image is of, real sources included, read from the middle
            features and from the last ones, both averaged over places.
    """

    weight: float = Field(default=0.3, gt=0.0, le=10.0)
    kind: Literal["softmax"] = "softmax"


class TrainingParameters(Parameters):
    """One training.

    Attributes:
        epochs: the most passes over the train split.
        early_stopping: epochs without a better eval split after which training ends; the best epoch's weights are kept
            in any case.
        passes: how often an epoch goes over the train split. An epoch ends with a look at the eval split and a
            checkpoint, which few images and small windows do not want after every pass.
        monitor: what makes an epoch better: a lower "loss", as published, or a higher "roc_auc" (a lower loss where
            that is equal). On small eval splits the loss rises with over-confidence while the ranking still improves.
            "last" keeps the last epoch and never stops early: which of many epochs does best on a few dozen images is
            chance, and a falling learning rate ends in weights that are an average of many.
        batch_size: images a step, all workers together.
        learning_rate: of Adam.
        weight_decay: share of the learning rate by which a step shrinks the kernels of convolutions and dense layers
            (AdamW, Loshchilov & Hutter 2019); biases and batch normalisation are left alone. 0 is plain Adam.
        gradient_norm: largest Euclidean norm of all gradients of a device's step together; longer ones are scaled down
            to it (Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063). None leaves them as they are.
        label_smoothing: share of each target that is spread evenly over the classes in the loss of a training step; the
            loss of the eval split has none.
        auxiliary: of the primary module alone: a second task that keeps sources apart; None trains without.
        schedule: "constant", as published; or "cosine": rising over the first twentieth of the steps, at most 20 of
            them, then falling to zero along half a cosine (Loshchilov & Hutter 2017) until the last step of `epochs`.
        augmentation: what happens to images before a step sees them. A head sees middle features of as many augmented
            copies of each image as `copies` says.
        copies: of each image, whose middle features a head is trained on; used only with augmentation.
        class_weights: "balanced" gives all classes the same total weight in the loss; "none" as published.
        sampling: "shuffled", every image once an epoch; "balanced", every class equally often in epochs of the same
            length, and in every batch; or "sources", the same, and within each class every source. Balanced training
            batches need no class weights, which then apply to the eval split alone.
        sampling_power: of sampling "sources": within its class a source comes in proportion to this power of its number
            of images. 0, all equally often; 0.5, by the square root; 1, all images equally often.
        model: of the primary module alone: a servable of ours, or the name of a model that comes with the product,
            whose primary module is taken instead of a new one; its heads are kept beside those of `sources`. None
            trains one.
        frozen: with `model`, takes its primary module as it is, with its calibration and threshold; False goes on
            training from its weights, and keeps no heads.
        seed: of initial weights and shuffling.
        deterministic: the same seed gives the same weights on the same machine, bit by bit.
        precision: "float32"; or, for GPUs and CPUs with AVX512-BF16, "bfloat16" or "float16", in which convolutions and
            activations of a training step compute. Weights, batch normalisation and the decision stay in float32, and
            so do all scores.
        layers: network, initialisation and batch normalisation.
        calibration: "platt" sets scale and shift of the model's logit on the eval split, so that a probability is the
            share of such images that are positive (see components/metrics/calibration.py); "none" leaves it.
        calibration_copies: augmented copies of each image of the eval split on which "platt" is fitted as well, whole
            images of the model's size; used only with augmentation. They decide nothing else.
        operating_point: how the threshold is chosen.
        distance: of heads alone: "mahalanobis" has a head claim only images whose last features are no farther from its
            source's than most of the source's own, so that other claims become unknown generators (see
            components/models/distances.py); "none", every image above its threshold.
        distance_rejection: share of a source's own eval images that the distance may refuse.
        memory_budget_mb: what is computed from images (decoded inputs, middle features) is kept in memory up to this
            size, all splits together. Past it inputs are decoded again in each epoch, and middle features are read
            from a temporary file.
        strategy: "single", one device; "mirrored", all GPUs of this machine; "multi_worker", several processes: those
            of the cluster that TF_CONFIG describes, or as many as `workers` on this machine.
        workers: processes of strategy "multi_worker" where no TF_CONFIG is set.
    """

    epochs: int = Field(default=100, ge=1)
    early_stopping: int = Field(default=5, ge=1)
    passes: int = Field(default=1, ge=1)
    monitor: Literal["loss", "roc_auc", "last"] = "loss"
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    gradient_norm: float | None = Field(default=None, gt=0.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    auxiliary: AuxiliaryParameters | None = None
    augmentation: AugmentationParameters = AugmentationParameters()
    copies: int = Field(default=8, ge=1, le=1000)
    class_weights: Literal["balanced", "none"] = "balanced"
    sampling: Literal["shuffled", "balanced", "sources"] = "shuffled"
    sampling_power: float = Field(default=0.0, ge=0.0, le=1.0)
    model: str | None = Field(default=None, min_length=1)
    frozen: bool = True
    seed: int = Field(default=2021, ge=0, lt=2**31)
    deterministic: bool = True
    precision: Precision = "float32"
    layers: LayerParameters = LayerParameters()
    calibration: Literal["platt", "none"] = "platt"
    calibration_copies: int = Field(default=0, ge=0, le=100)
    operating_point: OperatingPointParameters = OperatingPointParameters()
    distance: Literal["none", "mahalanobis"] = "none"
    distance_rejection: float = Field(default=0.05, gt=0.0, lt=1.0)
    memory_budget_mb: int = Field(default=1024, ge=0)
    strategy: Literal["single", "mirrored", "multi_worker"] = "single"
    workers: int = Field(default=1, ge=1, le=64)

    @model_validator(mode="after")
    def _power_has_sources(self) -> "TrainingParameters":
        if self.sampling_power and self.sampling != "sources":
            raise ValueError(
                f"sampling_power: must be 0 unless sampling is 'sources', got {self.sampling_power:g} with sampling "
                f"'{self.sampling}'. Set sampling: sources, or remove sampling_power."
            )
        return self

    @property
    def takes_module(self) -> bool:
        """Whether a module is taken as it is, instead of being trained."""
        return self.model is not None and self.frozen

    @model_validator(mode="after")
    def _workers_have_a_strategy(self) -> "TrainingParameters":
        if self.workers > 1 and self.strategy != "multi_worker":
            raise ValueError(
                f"workers: must be 1 unless strategy is 'multi_worker', got {self.workers} with strategy "
                f"'{self.strategy}'. Set strategy: multi_worker, or remove workers."
            )
        if self.workers > self.batch_size:
            raise ValueError(
                f"workers: must be at most batch_size, got {self.workers} workers for batches of {self.batch_size}: "
                "each takes its share of every batch. Raise batch_size."
            )
        return self


class BaselineParameters(Parameters):
    """One baseline, to be compared with the proposed modules.

    Attributes:
        architecture: "gdaconv" (Frank et al. 2020), "postpool" (Yu et al. 2019), or "notl", the primary module's
            network without transfer (Khoo, Lim & Phan 2022).
        task: "detection", real or synthesised; "attribution", one model a source, one against the rest; "multiclass",
            one softmax over real and all sources.
        training: how it is trained.
    """

    architecture: BaselineArchitecture
    task: BaselineTask
    training: TrainingParameters = TrainingParameters()

    @model_validator(mode="after")
    def _is_no_primary_module(self) -> "BaselineParameters":
        if self.architecture == "notl" and self.task == "detection":
            raise ValueError(
                "task: must not be 'detection' for architecture 'notl': without sources to tell apart it is the "
                "primary module itself, which is trained anyway. Choose attribution or multiclass, or remove it."
            )
        return self
