"""COMPILE.md: how to compile a bundle's model where the Edge TPU compiler can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qedge_coral import compile as driver

DOCKERFILE = """\
FROM --platform=linux/amd64 debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl gnupg \\
 && curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg | gpg --dearmor \\
    -o /usr/share/keyrings/coral.gpg \\
 && echo "deb [signed-by=/usr/share/keyrings/coral.gpg] https://packages.cloud.google.com/apt \\
    coral-edgetpu-stable main" > /etc/apt/sources.list.d/coral.list \\
 && apt-get update && apt-get install -y edgetpu-compiler
WORKDIR /model
ENTRYPOINT ["edgetpu_compiler"]
"""

_TEXT = """\
# Compile this model for the Edge TPU

This bundle runs on the CPU as it is. The Edge TPU needs one more step: the compiler, a program for x86-64
Linux that Google distributes. In this folder:

    {command}

Where it is not installed (another system, a Raspberry Pi, a Mac), a container does it. Put this into
`Dockerfile`:

```
{dockerfile}```

and run

    docker build --platform linux/amd64 -t edgetpu-compiler .
    docker run --rm --platform linux/amd64 -v "$PWD":/model edgetpu-compiler {arguments} model.tflite

Then complete the bundle, on the machine that built it:

    qedge build MODEL -t coral --compiled {compiled}{segments}

(the same command as before, and `--compiled`). The compiler's own figures then replace the predicted ones,
and `qedge` says where the two differ.
"""


def compile_md(options: Mapping[str, Any]) -> str:
    """Return the text of COMPILE.md for these options."""
    segments = int(options.get("segments") or 1)
    compiled = "model_edgetpu.tflite" if segments == 1 else f"model_segment_0_of_{segments}_edgetpu.tflite"
    return _TEXT.format(
        command=driver.command(options),
        arguments=" ".join(driver.arguments(options)),
        dockerfile=DOCKERFILE,
        compiled=compiled,
        segments="" if segments == 1 else f" --segments {segments}",
    )
