"""Which checkpoints are chat models that see, by the ``model_type`` of their config.json.

These are families of ``AutoModelForImageTextToText`` in transformers 5 whose checkpoints come with
a chat template. Those that a captioner of its own takes are not among them.
"""

from __future__ import annotations

#: Each of these has a test on a small checkpoint (tests/conformance/test_captioners.py).
TESTED = (
    *("llava", "llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    *("smolvlm", "idefics3", "gemma3"),
)
MODEL_TYPES = (
    *TESTED,
    *("aria", "aya_vision", "cohere2_vision", "deepseek_vl", "ernie4_5_vl_moe", "fast_vlm"),
    *("gemma3n", "glm46v", "glm4v", "glm4v_moe", "idefics2", "internvl", "janus", "lfm2_vl"),
    *("llama4", "mistral3", "mllama", "ovis2", "perception_lm", "qwen3_5", "qwen3_vl_moe"),
    *("vipllava",),
)
