"""A stand-in for Kubeflow's engine: runs a compiled package, each task a process, as the package itself says.

It knows nothing of our pipeline: the order comes from the package's DAGs, the words from its executors, the environment
from its platform specification. What Kubeflow fills in at run time (placeholders), it fills in likewise.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 400.0

# Told of each process as it starts: (task, attempt, process).
Watcher = Callable[[str, int, "subprocess.Popen[bytes]"], None]


@dataclass
class Package:
    """A compiled package, read as Kubeflow reads it."""

    spec: pipeline_spec_pb2.PipelineSpec
    platform: dict[str, kubernetes_executor_config_pb2.KubernetesExecutorConfig]

    @classmethod
    def load(cls, path: Path) -> "Package":
        """Reads both documents of a package; unknown fields and wrong types are errors."""
        spec, platform = yaml.safe_load_all(path.read_text())
        read = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        executors = json_format.MessageToDict(read.platforms["kubernetes"].deployment_spec)["executors"]
        return cls(
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()),
            {
                name: json_format.ParseDict(values, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
                for name, values in executors.items()
            },
        )

    @property
    def executors(self) -> dict[str, Any]:
        """Executor name -> its container, as plain values."""
        return {
            name: executor["container"]
            for name, executor in json_format.MessageToDict(self.spec.deployment_spec)["executors"].items()
        }

    def dag(self, component: str = "") -> Mapping[str, pipeline_spec_pb2.PipelineTaskSpec]:
        """Tasks of a component's graph; without a name, of the package's own."""
        return self.spec.components[component].dag.tasks if component else self.spec.root.dag.tasks


@dataclass
class TaskRun:
    """What one task did: attempts, the end of the last one, and when it ran."""

    exit_codes: list[int] = field(default_factory=list)
    output: str = ""
    started: float = 0.0
    ended: float = 0.0
    declared: dict[str, Any] = field(default_factory=dict)  # what it told Kubeflow of its outputs

    @property
    def succeeded(self) -> bool:
        return bool(self.exit_codes) and self.exit_codes[-1] == 0


class Run:
    """One run of a package.

    Args:
        package: what to run.
        run_id: Kubeflow's identifier of the run.
        folder: for outputs and logs.
        secrets: (name of the Secret, key) -> value.
        parameters: of the run; the package's defaults otherwise.
        parallel: tasks at the same time.
        watch: told of each process.
        most_attempts: of a task, whatever its retry policy allows; None: that.
        only: nothing but these tasks is started, as when somebody ends a run; None: all.
    """

    def __init__(
        self,
        package: Package,
        run_id: str,
        folder: Path,
        secrets: Mapping[tuple[str, str], str],
        parameters: Mapping[str, str] | None = None,
        parallel: int = 2,
        watch: Watcher | None = None,
        most_attempts: int | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self.package, self.run_id, self.folder, self.secrets = package, run_id, folder, dict(secrets)
        self.parallel, self.watch, self.most_attempts, self.only = parallel, watch, most_attempts, only
        self.tasks: dict[str, TaskRun] = {}
        defaults = {
            name: spec.default_value.string_value
            for name, spec in package.spec.root.input_definitions.parameters.items()
        }
        self.parameters = {**defaults, **(parameters or {})}
        self._lock = threading.Lock()

    def run(self) -> "Run":
        """Runs everything; a task that fails leaves those behind it unstarted."""
        with ThreadPoolExecutor(self.parallel) as pool:
            self._run_dag(self.package.dag(), self.parameters, pool)
        return self

    @property
    def succeeded(self) -> bool:
        return all(task.succeeded for task in self.tasks.values()) and len(self.tasks) == len(self.package.executors)

    def _run_dag(self, tasks: Mapping[str, Any], inputs: Mapping[str, str], pool: ThreadPoolExecutor) -> bool:
        """Runs one graph; returns whether all of it succeeded."""
        state: dict[str, bool] = {}  # ended tasks -> succeeded
        running: dict[Future[bool], str] = {}
        while True:
            for name, task in tasks.items():
                if name not in state and name not in running.values() and self._is_due(task, state):
                    values = self._inputs(task, inputs)
                    component = self.package.spec.components[task.component_ref.name]
                    if component.WhichOneof("implementation") == "dag":
                        state[name] = self._run_dag(component.dag.tasks, values, pool)
                    elif self.only is None or name in self.only:
                        running[pool.submit(self._run_task, name, task, component, values)] = name
                    else:
                        state[name] = False
            if not running:
                if not any(name not in state and self._is_due(task, state) for name, task in tasks.items()):
                    return all(state.get(name, False) for name in tasks)
                continue
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                state[running.pop(ended)] = ended.result()

    @staticmethod
    def _is_due(task: Any, state: Mapping[str, bool]) -> bool:
        needed = list(task.dependent_tasks)
        if task.trigger_policy.strategy == task.trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED:
            return all(name in state for name in needed)
        return all(state.get(name, False) for name in needed)

    def _inputs(self, task: Any, outer: Mapping[str, str]) -> dict[str, str]:
        values = {
            name: outer[given.component_input_parameter]
            for name, given in task.inputs.parameters.items()
            if given.component_input_parameter
        }
        for name, given in task.inputs.parameters.items():
            if not given.component_input_parameter:
                constant = given.runtime_value.constant.string_value
                # As Kubeflow's driver does: the run's identifier only where it is all of an input.
                values[name] = self.run_id if constant == "{{$.pipeline_job_uuid}}" else constant
        return values

    def _run_task(self, name: str, task: Any, component: Any, values: Mapping[str, str]) -> bool:
        record = TaskRun(started=time.monotonic())
        with self._lock:
            self.tasks[name] = record
        attempts = 1 + task.retry_policy.max_retry_count
        for attempt in range(min(attempts, self.most_attempts or attempts)):
            record.output, code = self._attempt(name, attempt, component, values, record)
            record.exit_codes.append(code)
            record.ended = time.monotonic()
            if code == 0:
                break
        return record.succeeded

    def _attempt(
        self, name: str, attempt: int, component: Any, values: Mapping[str, str], record: TaskRun
    ) -> tuple[str, int]:
        label = component.executor_label
        container = self.package.executors[label]
        outputs = self.folder / name / str(attempt)
        outputs.mkdir(parents=True, exist_ok=True)
        executor_input = {
            "inputs": {"parameterValues": dict(values)},
            "outputs": {
                "artifacts": {
                    # Without a name: some drivers leave it out.
                    key: {
                        "artifacts": [
                            {"type": {"schemaTitle": kind.artifact_type.schema_title}, "uri": f"{outputs}/{key}"}
                        ]
                    }
                    for key, kind in component.output_definitions.artifacts.items()
                },
                "outputFile": str(outputs / "output_metadata.json"),
            },
        }
        # As Kubeflow's launcher does: inputs and the executor's whole input, and nothing else, in arguments.
        known = {f"{{{{$.inputs.parameters['{key}']}}}}": text for key, text in values.items()}
        words = [_filled(word, known) for word in [*container["command"], *container.get("args", [])]]
        assert not [word for word in words if "{{" in word and word != "{{$}}"], words
        words = [json.dumps(executor_input) if word == "{{$}}" else word for word in words]
        if words[0] == "python":
            words[0] = sys.executable
        with (outputs / "log").open("wb") as log:
            process = subprocess.Popen(
                words, cwd=ROOT, env=self._environment(label), stdout=log, stderr=log, start_new_session=True
            )
            if self.watch:
                self.watch(name, attempt, process)
            try:
                code = process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
        written = outputs / "output_metadata.json"
        record.declared = json.loads(written.read_text()) if written.is_file() else {}
        return (outputs / "log").read_text(), code

    def _environment(self, label: str) -> dict[str, str]:
        """What a container's process sees: nothing of this process's own secrets, all that the package gives it."""
        given = {
            pair.env_var: self.secrets[(secret.secret_name, pair.secret_key)]
            for secret in self.package.platform[label].secret_as_env
            for pair in secret.key_to_env
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GENATTR_")}
        return kept | {"PYTHONPATH": str(ROOT)} | given


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Replaces Kubeflow's placeholders."""
    for placeholder, value in known.items():
        text = text.replace(placeholder, value)
    return text
