using GlmTune.Training;

namespace GlmTune.Recipes.Tests.Configuration;

public class RecipeErrorTests
{
    [Theory]
    [InlineData("max_step: 3", "unknown key 'training_args.max_step'; did you mean 'max_steps'?")]
    [InlineData("lerning_rate: 3", "unknown key 'training_args.lerning_rate'; did you mean 'learning_rate'?")]
    [InlineData("lora_alpha: 3", "unknown key 'training_args.lora_alpha'")]
    [InlineData(
        "max_input_length: 3",
        "unknown key 'training_args.max_input_length'; did you mean 'max_input_length'?"
    )]
    [InlineData(
        "train_file: a.jsonl",
        "unknown key 'training_args.train_file'; did you mean 'data_config.train_file'?"
    )]
    [InlineData("quite_something_else_entirely: 3", "unknown key 'training_args.quite_something_else_entirely'")]
    [InlineData(
        "nonfinite_policy: ignore",
        "'training_args.nonfinite_policy' is 'ignore'; expected one of stop, skip, rewind"
    )]
    [InlineData(
        "spike_factor: 0.5",
        "'training_args.spike_factor' is 0.5; expected a number above 1, such as 10, or 0 to look for no spikes"
    )]
    [InlineData("spike_factor: -1", "'training_args.spike_factor' is '-1'; expected a number of at least 0")]
    [InlineData(
        "nonfinite_policy: rewind\nsave_strategy: no",
        "'training_args.nonfinite_policy' is rewind, which needs checkpoints with optimizer state; set "
            + "save_strategy: steps and save_only_model: false, or another policy"
    )]
    [InlineData(
        "spike_policy: rewind\nspike_factor: 9\nsave_only_model: true",
        "'training_args.spike_policy' is rewind, which needs checkpoints with optimizer state; set "
            + "save_strategy: steps and save_only_model: false, or another policy"
    )]
    [InlineData("max_steps: many", "'training_args.max_steps' is 'many'; expected a whole number of at least -1")]
    [InlineData("max_steps: 1.5", "'training_args.max_steps' is '1.5'; expected a whole number of at least -1")]
    [InlineData("max_steps: 0", "'training_args.max_steps' is 0; expected at least 1, or -1 to count epochs instead")]
    [InlineData("max_steps: 3e9", "'training_args.max_steps' is '3e9'; expected a whole number of at least -1")]
    [InlineData("max_steps: [3]", "'training_args.max_steps' is a list; expected a whole number of at least -1")]
    [InlineData("learning_rate: fast", "'training_args.learning_rate' is 'fast'; expected a number of at least 0")]
    [InlineData("learning_rate: -1", "'training_args.learning_rate' is '-1'; expected a number of at least 0")]
    [InlineData("learning_rate: .nan", "'training_args.learning_rate' is '.nan'; expected a number of at least 0")]
    [InlineData("learning_rate: 1e999", "'training_args.learning_rate' is '1e999'; expected a number of at least 0")]
    [InlineData("adam_beta2: 1.0", "'training_args.adam_beta2' is '1.0'; expected a number from 0 to below 1")]
    [InlineData("adam_epsilon: 0", "'training_args.adam_epsilon' is '0'; expected a number above 0")]
    [InlineData("warmup_ratio: 1.1", "'training_args.warmup_ratio' is '1.1'; expected a number from 0 to 1")]
    [InlineData(
        "warmup_steps: 2.5",
        "'training_args.warmup_steps' is '2.5'; expected a whole number of steps, or a fraction of the run " + "below 1"
    )]
    [InlineData(
        "save_steps: 0",
        "'training_args.save_steps' is '0'; expected a whole number of steps, or a fraction of the run "
            + "between 0 and 1"
    )]
    [InlineData("bf16: perhaps", "'training_args.bf16' is 'perhaps'; expected true or false")]
    [InlineData(
        "fp16: true",
        "'training_args.fp16' is not supported: float16 needs loss scaling; use bf16: true, fp16: auto (bfloat16 on a "
            + "GPU, float32 on a CPU), or dtype: float32 if the GPU does not support bfloat16"
    )]
    [InlineData(
        "save_strategy: yes",
        "'training_args.save_strategy' is 'yes'; expected one of no, false, steps, epoch, best; did you mean 'steps'?"
    )]
    [InlineData(
        "eval_strategy: true",
        "'training_args.eval_strategy' is 'true'; expected one of no, false, steps, epoch; did you mean 'steps'?"
    )]
    [InlineData(
        "save_strategy: step",
        "'training_args.save_strategy' is 'step'; expected one of no, false, steps, epoch, best; did you mean 'steps'?"
    )]
    [InlineData(
        "lr_scheduler_type: cosin",
        "'training_args.lr_scheduler_type' is 'cosin'; expected one of linear, cosine, cosine_with_restarts, "
            + "polynomial, constant, constant_with_warmup; did you mean 'cosine'?"
    )]
    [InlineData(
        "lr_scheduler_kwargs: {num_cycles: 2}",
        "'training_args.lr_scheduler_kwargs.num_cycles' requires lr_scheduler_type cosine and "
            + "cosine_with_restarts; remove it or change the type"
    )]
    [InlineData(
        "learning_rate: 1e-8\nlr_scheduler_type: polynomial",
        "'training_args.learning_rate' is 1e-8, but a polynomial schedule ends at lr_end 1e-7; choose a "
            + "lower lr_end"
    )]
    [InlineData(
        "optim: adafactor",
        "'training_args.optim' is 'adafactor'; expected one of adamw_torch, adamw_torch_fused, adamw_hf, "
            + "adamw_apex_fused, adamw_8bit, adamw_bnb_8bit, adamw_torch_8bit, adamw_torch_4bit, adamw_anyprecision, "
            + "paged_adamw, paged_adamw_32bit, paged_adamw_8bit"
    )]
    [InlineData(
        "label_smoothing_factor: 0.1",
        "'training_args.label_smoothing_factor' is not supported: the loss is plain cross-entropy; write 0"
    )]
    [InlineData(
        "group_by_length: true",
        "'training_args.group_by_length' is not supported: to avoid padding, set packing: true"
    )]
    [InlineData(
        "fsdp: full_shard",
        "'training_args.fsdp' is not supported: to shard the model, set training_args.deepspeed to a "
            + "DeepSpeed file"
    )]
    [InlineData("output_dir: []", "'training_args.output_dir' is a list; expected a text")]
    [InlineData(
        "generation_config: 512",
        "'training_args.generation_config' is '512'; expected a mapping of keys to values"
    )]
    [InlineData(
        "generation_config: {top_p: 0}",
        "'training_args.generation_config.top_p' is '0'; expected a number above 0 and at most 1"
    )]
    [InlineData(
        "generation_config: {eos_token_id: [a]}",
        "'training_args.generation_config.eos_token_id' is a list; expected a token id or a list of token ids"
    )]
    [InlineData("generation_config: {typical_p: 0.1}", "'training_args.generation_config.typical_p' is not supported")]
    [InlineData(
        "generation_config: {num_beams: 3, do_sample: true}",
        "'training_args.generation_config.num_beams' is 3 and do_sample is true; beam search does not "
            + "sample, so remove one of them"
    )]
    [InlineData(
        "metric_for_best_model: rouge-3",
        "'training_args.metric_for_best_model' is 'rouge-3'; expected one of loss, perplexity, rouge-1, rouge-2, "
            + "rouge-l, bleu-4; did you mean 'rouge-1'?"
    )]
    [InlineData(
        "metric_for_best_model: bleu-4",
        "'training_args.metric_for_best_model' is 'bleu-4', which needs generated answers; set predict_with_generate: "
            + "true, or use loss"
    )]
    [InlineData(
        "load_best_model_at_end: true",
        "'training_args.load_best_model_at_end' is true, but 'training_args.eval_strategy' is no; set "
            + "eval_strategy"
    )]
    [InlineData(
        "save_strategy: best",
        "'training_args.save_strategy' is best, but 'training_args.eval_strategy' is no; set eval_strategy"
    )]
    [InlineData(
        "early_stopping_patience: 3",
        "'training_args.early_stopping_patience' is set, but 'training_args.eval_strategy' is no; set "
            + "eval_strategy"
    )]
    [InlineData(
        "pack_length: 4096\npacking: false",
        "'training_args.pack_length' is set, but 'training_args.packing' is false; set packing: true, or remove it"
    )]
    [InlineData(
        "fp8_base: true",
        "'training_args.fp8_base' is true, but without an adapter all weights are trained, and trained "
            + "weights cannot be stored in fp8; add peft_config, or remove fp8_base"
    )]
    [InlineData(
        "quantization: nf4",
        "'quantization' is nf4, but without an adapter all weights are trained, and trained weights cannot be "
            + "quantized; add peft_config, or remove quantization"
    )]
    [InlineData("quantization: gptq", "'training_args.quantization' is 'gptq'; expected one of none, nf4, int8")]
    [InlineData(
        "offload_embedding: true",
        "'training_args.offload_embedding' is true, but without an adapter the embedding is trained; add "
            + "peft_config, or remove offload_embedding"
    )]
    [InlineData(
        "offload_activations: true\ngradient_checkpointing: cheap",
        "'training_args.offload_activations' is true: only the inputs of the layers are kept, and everything else is "
            + "recomputed; set gradient_checkpointing: true, or remove offload_activations"
    )]
    [InlineData(
        "deepspeed: nowhere.json",
        "'training_args.deepspeed' is 'nowhere.json', which was not found in the working folder, next to "
            + "the recipe or in the folder above"
    )]
    [InlineData(
        "deepspeed: [1]",
        "'training_args.deepspeed' is a list; expected the path of a DeepSpeed file, or its keys"
    )]
    public void A_training_argument_that_cannot_be_used_is_named_with_its_line(string line, string problem)
    {
        var found = RecipeText.Problems(RecipeText.WithArguments($"# a comment\n{line}"));
        Assert.Equal([$"r.yaml, line 5: {problem}"], found);
    }

    [Theory]
    [InlineData(
        "fp8_base: true",
        "'quantization' is nf4 and 'training_args.fp8_base' is true, but a weight is stored in one way; remove one of "
            + "the two"
    )]
    [InlineData(
        "quantization: int8",
        "'training_args.quantization' and 'quantization' differ: int8 and nf4; remove one of them"
    )]
    public void Frozen_weights_are_stored_in_one_way(string argument, string problem)
    {
        const string Rest = "peft_config: {peft_type: LORA}\nquantization: nf4\n";
        Assert.Equal([$"r.yaml, line 4: {problem}"], RecipeText.Problems(RecipeText.WithArguments(argument, Rest)));
    }

    [Theory]
    [InlineData("peft_type: LORA\nlora_alfa: 3", "5: unknown key 'peft_config.lora_alfa'; did you mean 'lora_alpha'?")]
    [InlineData(
        "peft_type: LORA\nnum_virtual_tokens: 3",
        "5: unknown key 'peft_config.num_virtual_tokens'; it is a key of peft_type PREFIX_TUNING"
    )]
    [InlineData(
        "peft_type: PREFIX_TUNING\nlora_alpha: 3",
        "5: unknown key 'peft_config.lora_alpha'; it is a key of peft_type LORA"
    )]
    [InlineData(
        "peft_type: LOR",
        "4: 'peft_config.peft_type' is 'LOR'; expected LORA or PREFIX_TUNING; did you mean 'LORA'?"
    )]
    [InlineData(
        "peft_type: P_TUNING",
        "4: 'peft_config.peft_type' is 'P_TUNING'; expected LORA or PREFIX_TUNING; P-Tuning v2 is PREFIX_TUNING"
    )]
    [InlineData("r: 8", "3: 'peft_config.peft_type' is missing; expected LORA or PREFIX_TUNING")]
    [InlineData("peft_type: LORA\ntask_type: SEQ_CLS", "5: 'peft_config.task_type' is 'SEQ_CLS'; expected CAUSAL_LM")]
    [InlineData("peft_type: LORA\nr: 0", "5: 'peft_config.r' is '0'; expected a whole number from 1 to 65536")]
    [InlineData(
        "peft_type: LORA\nlora_dropout: 1",
        "5: 'peft_config.lora_dropout' is '1'; expected a number from 0 to below 1"
    )]
    [InlineData(
        "peft_type: LORA\nbias: all",
        "5: 'peft_config.bias' is not supported: the base model's biases are not trained; write none"
    )]
    [InlineData(
        "peft_type: LORA\ninit_lora_weights: pissa",
        "5: 'peft_config.init_lora_weights' is 'pissa'; expected one of true, yes, gaussian, false, no"
    )]
    [InlineData(
        "peft_type: LORA\ntarget_modules: []",
        "5: 'peft_config.target_modules' is a list; expected module names, a regular expression or "
            + "all-linear (target modules need at least one name, and no empty names (Parameter 'names'))"
    )]
    [InlineData(
        "peft_type: LORA\nrank_pattern: {q_proj: 1.5}",
        "5: 'peft_config.rank_pattern' has '1.5' for 'q_proj'; expected a whole number of at least 1"
    )]
    [InlineData("peft_type: LORA\nuse_qalora: true", "5: 'peft_config.use_qalora' is not supported")]
    [InlineData(
        "peft_type: PREFIX_TUNING\nnum_attention_heads: 3\ntoken_dim: 256",
        "6: 'peft_config.token_dim' is 256, which is not divisible by 3 heads (num_attention_heads); leave "
            + "both out to use the model's values"
    )]
    [InlineData(
        "peft_type: PREFIX_TUNING\ninit_weights: zero\ninit_text: hello",
        "6: 'peft_config.init_text' requires init_weights: text; remove one of them"
    )]
    public void An_adapter_that_cannot_be_made_is_named_with_its_line(string lines, string problem) =>
        Assert.Equal([$"r.yaml, line {problem}"], RecipeText.Problems(RecipeText.WithAdapter(lines)));

    [Theory]
    [InlineData(
        "training_args: {}",
        "r.yaml, line 1: 'data_config.train_file' is missing; it names the file of training rows in the "
            + "data folder"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl, bad_rows: drop}",
        "r.yaml, line 1: 'data_config.bad_rows' is 'drop'; expected one of error, skip"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl, template: glm4}",
        "r.yaml, line 1: 'data_config.template' is 'glm4'; expected one of auto, glm-4, glm-4-june-2024, "
            + "glm-4-mid-2024, glm-4-late-2024, glm-4v, glm-4-0414, glm-z1-0414, codegeex4, chatglm3, "
            + "model; did you mean 'glm-4'?"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\nmax_input_length: 0",
        "r.yaml, line 2: 'max_input_length' is '0'; expected a whole number from 1 to 16777216"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\nmax_steps: 20",
        "r.yaml, line 2: unknown key 'max_steps'; did you mean 'training_args.max_steps'?"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\ntrainig_args: {}",
        "r.yaml, line 2: unknown key 'trainig_args'; did you mean 'training_args'?"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\ndata_config: {}",
        "r.yaml, line 2: duplicate key 'data_config'; first on line 1"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\ntraining_args:\n  max_steps: 1\n bad: 2",
        "r.yaml, line 4: invalid YAML: "
    )]
    [InlineData("data_config: {train_file: a.jsonl", "r.yaml, line 2: invalid YAML: ")]
    [InlineData(
        "data_config: !!python/object:os.system {train_file: a.jsonl}",
        "r.yaml, line 1: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed here; write the plain value"
    )]
    [InlineData(
        "data_config: *nothing",
        "r.yaml, line 1: '*nothing' refers to an anchor that is not defined before it"
    )]
    [InlineData(
        "data_config: {train_file: a.jsonl}\n---\na: 1",
        "r.yaml, line 2: a second document starts here; a recipe is a single document"
    )]
    [InlineData("a: [1, b.\n#\nc\n", "r.yaml, line 1: invalid YAML after this line")]
    [InlineData("[a]: 1", "r.yaml, line 1: a key must be a word, not a list")]
    [InlineData("", "r.yaml, line 1: the file is null; expected keys such as data_config and training_args")]
    [InlineData("- a", "r.yaml, line 1: the file is a list; expected keys such as data_config and training_args")]
    public void A_file_that_cannot_be_used_is_explained(string yaml, string problem) =>
        Assert.StartsWith(problem, RecipeText.Problems(yaml)[0], StringComparison.Ordinal);

    [Fact]
    public void A_long_unknown_key_is_not_compared_with_every_known_one()
    {
        var yaml = $"{new string('x', 20_000)}: 1\n";
        RecipeText.Problems(yaml); // what is made once
        var before = GC.GetAllocatedBytesForCurrentThread();
        RecipeText.Problems(yaml);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
    }

    [Fact]
    public void All_problems_of_a_file_are_reported_at_once_in_the_order_of_lines()
    {
        var found = RecipeText.Problems(
            """
            data_config:
              train_fil: train.jsonl
            max_output_length: -1
            training_args:
              max_steps: soon
              learning_rate: 1e-4
              learing_rate: 1e-4
              bf16: true
              dtype: float32
            peft_config:
              peft_type: LORA
              r: eight
            """
        );
        Assert.Equal(
            [
                "r.yaml, line 1: 'data_config.train_file' is missing; it names the file of training rows "
                    + "in the data folder",
                "r.yaml, line 2: unknown key 'data_config.train_fil'; did you mean 'train_file'?",
                "r.yaml, line 3: 'max_output_length' is '-1'; expected a whole number from 1 to 16777216",
                "r.yaml, line 5: 'training_args.max_steps' is 'soon'; expected a whole number of at least -1",
                "r.yaml, line 7: unknown key 'training_args.learing_rate'; did you mean 'learning_rate'?",
                "r.yaml, line 8: 'training_args.bf16' is true, but 'training_args.dtype' is float32; remove one",
                "r.yaml, line 12: 'peft_config.r' is 'eight'; expected a whole number from 1 to 65536",
            ],
            found
        );
    }

    [Theory]
    [InlineData(
        "eval_strategy: epoch\nload_best_model_at_end: true",
        "5: 'training_args.load_best_model_at_end' is true, but eval_strategy is epoch and save_strategy "
            + "is steps; the best checkpoint must have been saved, so make them equal or use save_strategy: best"
    )]
    [InlineData(
        "eval_strategy: steps\nload_best_model_at_end: true\nsave_steps: 500\neval_steps: 200",
        "5: 'training_args.load_best_model_at_end' is true, but save_steps (500) is not a multiple of "
            + "eval_steps (200); saved checkpoints must have been evaluated"
    )]
    public void What_is_best_must_have_been_evaluated_and_saved(string lines, string problem)
    {
        var yaml = RecipeText
            .WithArguments(lines)
            .Replace(
                "  train_file: train.jsonl",
                "  {train_file: train.jsonl, val_file: dev.jsonl}",
                StringComparison.Ordinal
            );
        Assert.Equal([$"r.yaml, line {problem}"], RecipeText.Problems(yaml));
        Assert.NotNull(RecipeText.Read(yaml, "training_args.save_strategy=best"));
    }

    [Fact]
    public void Evaluation_without_a_validation_file_is_off_with_a_note_unless_something_needs_it()
    {
        var yaml = RecipeText.WithArguments("eval_strategy: steps");
        Assert.Equal(
            ["r.yaml, line 4: 'training_args.eval_strategy' has no effect here: there is no data_config.val_file"],
            RecipeText.Read(yaml).Notes
        );
        Assert.Equal(IntervalStrategy.No, RecipeText.Read(yaml).Training.EvaluationStrategy);
        Assert.Equal(
            ["r.yaml, line 4: the best checkpoint is requested, but there is no data_config.val_file; add one"],
            RecipeText.Problems(yaml, "training_args.early_stopping_patience=2")
        );
    }

    [Fact]
    public void Both_names_of_one_key_may_not_stand_side_by_side() =>
        Assert.Equal(
            [
                "r.yaml, line 4: 'training_args.evaluation_strategy' is another name of 'eval_strategy', which is set "
                    + "too (r.yaml, line 5); remove one",
            ],
            RecipeText.Problems(RecipeText.WithArguments("evaluation_strategy: steps\neval_strategy: steps"))
        );

    [Fact]
    public void A_pack_holds_at_least_the_longest_row() =>
        Assert.Equal(
            [
                "r.yaml, line 5: 'training_args.pack_length' is 100, but a row can have 1025 tokens "
                    + "(max_input_length + max_output_length + 1); make it at least that",
            ],
            RecipeText.Problems(RecipeText.WithArguments("packing: true\npack_length: 100"))
        );

    [Fact]
    public void A_run_that_is_all_warm_up_is_noted()
    {
        Assert.Equal(
            [
                "r.yaml, line 5: all 20 steps are warm-up ('training_args.warmup_steps' is 100); the "
                    + "learning rate never reaches its peak",
            ],
            RecipeText.Read(RecipeText.WithArguments("max_steps: 20\nwarmup_steps: 100")).Notes
        );
        Assert.Empty(RecipeText.Read(RecipeText.WithArguments("max_steps: 20\nwarmup_steps: 19")).Notes);
    }

    [Fact]
    public void A_tab_that_indents_is_found_in_its_line() =>
        Assert.Equal(
            "r.yaml, line 3",
            RecipeText.Problems("data_config:\n  train_file: a.jsonl\n\tval_file: b.jsonl")[0].Split(':')[0]
        );

    [Fact]
    public void Lines_may_end_as_Windows_ends_them() =>
        Assert.StartsWith(
            "r.yaml, line 4:",
            RecipeText.Problems(RecipeText.WithArguments("max_step: 1").ReplaceLineEndings("\r\n"))[0],
            StringComparison.Ordinal
        );

    [Fact]
    public void Deep_nesting_is_refused_not_followed() =>
        Assert.Contains(
            "nested more than 64 levels deep",
            RecipeText.Problems("a: " + new string('[', 5000))[0],
            StringComparison.Ordinal
        );

    [Fact]
    public void A_missing_file_is_named()
    {
        var error = Assert.Throws<FileNotFoundException>(() => RecipeFile.Read("nowhere/lora.yml"));
        Assert.StartsWith("nowhere/lora.yml: file not found", error.Message, StringComparison.Ordinal);
    }
}
