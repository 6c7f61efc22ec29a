namespace GlmTune.Cli.Help;

/// <summary>The examples that the help of a command shows.</summary>
internal static class Examples
{
    private static readonly Dictionary<string, string[]> ByCommand = new(StringComparer.Ordinal)
    {
        ["glmtune"] =
        [
            "glmtune sample .",
            "glmtune train data/ads models/glm-nano configs/lora-nano.yaml",
            "glmtune chat output/checkpoint-100",
        ],
        ["glmtune sample"] = ["glmtune sample", "glmtune sample ."],
        ["glmtune doctor"] = ["glmtune doctor", "glmtune doctor --json"],
        ["glmtune setup libtorch"] = ["glmtune setup libtorch", "glmtune setup libtorch --source packages"],
        ["glmtune completion"] = ["glmtune completion bash"],
        ["glmtune train"] =
        [
            "glmtune train data/ads models/glm-nano configs/lora-nano.yaml",
            "glmtune train data/ads models/glm-nano configs/lora-nano.yaml yes",
            "glmtune train data/ads models/glm-nano configs/lora-nano.yaml --set training_args.max_steps=20",
        ],
        ["glmtune recipe ls"] = ["glmtune recipe ls"],
        ["glmtune recipe show"] = ["glmtune recipe show lora"],
        ["glmtune recipe copy"] = ["glmtune recipe copy lora-24g my.yaml"],
        ["glmtune recipe check"] =
        [
            "glmtune recipe check configs/lora-nano.yaml --data data/ads --model models/glm-nano",
        ],
        ["glmtune fit"] = ["glmtune fit", "glmtune fit --like glm-4-9b-0414"],
        ["glmtune plan"] = ["glmtune plan models/glm-nano configs/lora-nano.yaml --gpu-memory 24GiB"],
        ["glmtune chat"] =
        [
            "glmtune chat models/glm-nano",
            "glmtune chat output/checkpoint-100 --prompt 类型#裙*颜色#红色 --temperature 0",
        ],
        ["glmtune generate"] =
        [
            "glmtune generate output/checkpoint-100 --input data/ads/dev.jsonl --output answers.jsonl",
        ],
        ["glmtune serve"] =
        [
            "glmtune serve models/glm-nano",
            "glmtune serve models/glm-nano --adapter ads=output/checkpoint-100 --port 9000",
        ],
        ["glmtune studio"] = ["glmtune studio", "glmtune studio ~/models ~/data --output runs --port 9000"],
        ["glmtune board"] = ["glmtune board output"],
        ["glmtune stress"] =
        [
            "glmtune stress models/glm-nano --concurrency 1,8,64",
            "glmtune stress --url http://127.0.0.1:8000 --concurrency 8",
        ],
        ["glmtune tokenize"] = ["glmtune tokenize models/glm-nano --text 你好 --chat"],
        ["glmtune data check"] = ["glmtune data check data/ads models/glm-nano configs/lora-nano.yaml"],
        ["glmtune data show"] = ["glmtune data show data/ads models/glm-nano configs/lora-nano.yaml --row 3"],
        ["glmtune data convert"] = ["glmtune data convert --from alpaca alpaca_data.json data/train.jsonl"],
        ["glmtune metrics"] = ["glmtune metrics answers.jsonl"],
        ["glmtune eval"] = ["glmtune eval data/ads output/checkpoint-100 configs/lora-nano.yaml --split test"],
        ["glmtune merge"] = ["glmtune merge output/checkpoint-100 merged"],
        ["glmtune export gguf"] =
        [
            "glmtune export gguf output/checkpoint-100 model.gguf --type q4_k_m",
            "glmtune export gguf output/checkpoint-100 adapter.gguf --adapter-only",
        ],
        ["glmtune export fp8"] = ["glmtune export fp8 output/checkpoint-100 model-fp8"],
        ["glmtune export int4"] = ["glmtune export int4 output/checkpoint-100 model-int4"],
        ["glmtune export ollama"] = ["glmtune export ollama output/checkpoint-100 for-ollama"],
        ["glmtune checkpoint consolidate"] = ["glmtune checkpoint consolidate output/checkpoint-500 model"],
        ["glmtune model pull"] =
        [
            "glmtune model pull THUDM/glm-4-9b-chat",
            "glmtune model pull ZhipuAI/glm-4-9b-chat --from modelscope",
        ],
        ["glmtune model list"] = ["glmtune model list"],
        ["glmtune model verify"] = ["glmtune model verify THUDM/glm-4-9b-chat"],
        ["glmtune model rm"] = ["glmtune model rm THUDM/glm-4-9b-chat"],
        ["glmtune model info"] = ["glmtune model info output/checkpoint-100"],
        ["glmtune model init"] = ["glmtune model init tiny --like models/glm-nano"],
        ["glmtune bench generate"] = ["glmtune bench generate models/glm-nano --batch 1,16"],
        ["glmtune bench train"] = ["glmtune bench train --rows 8 --tokens 1024 --layers 4"],
    };

    /// <summary>The commands that have examples.</summary>
    public static IReadOnlyCollection<string> Commands => ByCommand.Keys;

    /// <summary>The examples of a command.</summary>
    /// <param name="path">Its name after those of its parents, such as <c>glmtune data check</c>.</param>
    public static IReadOnlyList<string> Of(string path) => ByCommand.GetValueOrDefault(path, []);
}
