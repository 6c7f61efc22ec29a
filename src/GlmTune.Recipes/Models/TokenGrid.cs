using System.Text.Json;
using GlmTune.Data.Batching;
using GlmTune.Files.Json;

namespace GlmTune.Recipes.Models;

/// <summary>A padded batch in the form used by other frameworks, read from JSON: <c>input_ids</c>,
/// <c>attention_mask</c>, <c>labels</c>, each [B, T].</summary>
internal sealed record TokenGrid
{
    /// <summary>Token ids [B][T].</summary>
    public required int[][] InputIds { get; init; }

    /// <summary>1 for tokens, 0 for padding, which may be on either side of a row; [B][T].</summary>
    public required int[][] AttentionMask { get; init; }

    /// <summary>Unshifted labels, −100 where nothing is to be predicted; [B][T]; null without labels.</summary>
    public int[][]? Labels { get; init; }

    /// <summary>Number of rows, B.</summary>
    public int Rows => InputIds.Length;

    /// <summary>Length of the rows, T.</summary>
    public int Length => InputIds[0].Length;

    /// <summary>Reads a file.</summary>
    /// <param name="path">A JSON object. Without <c>attention_mask</c> there is no padding; <c>labels</c> is optional.
    /// Other keys are ignored.</param>
    /// <param name="vocabularySize">Exclusive upper bound of the ids.</param>
    /// <exception cref="InvalidDataException">The file holds something else; the message lists all
    /// problems.</exception>
    public static TokenGrid Read(string path, int vocabularySize)
    {
        var json = JsonFile.ReadObject(path);
        var problems = new List<string>();
        var ids = Grid(json, "input_ids", problems);
        if (ids is null || ids.Length == 0 || ids[0].Length == 0)
        {
            problems.Add("'input_ids' is missing or empty; expected rows of token ids, all of equal length");
        }
        else
        {
            var (mask, labels) = (Grid(json, "attention_mask", problems), Grid(json, "labels", problems));
            mask ??= [.. ids.Select(row => Enumerable.Repeat(1, row.Length).ToArray())];
            CheckShape(ids, mask, labels, problems);
            if (problems.Count == 0)
            {
                CheckValues(ids, mask, labels, vocabularySize, problems);
                if (problems.Count == 0)
                {
                    return new TokenGrid
                    {
                        InputIds = ids,
                        AttentionMask = mask,
                        Labels = labels,
                    };
                }
            }
        }

        throw new InvalidDataException(
            string.Join(Environment.NewLine, problems.Select(problem => $"{path}: {problem}."))
        );
    }

    /// <summary>Indices of the non-padding tokens of a row, in order.</summary>
    public int[] RealPositions(int row) =>
        [.. Enumerable.Range(0, Length).Where(place => AttentionMask[row][place] == 1)];

    private static int[][]? Grid(JsonElement root, string key, List<string> problems)
    {
        if (!root.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        try
        {
            return value.Deserialize<int[][]>() is { } rows && rows.All(row => row is not null)
                ? rows
                : throw new JsonException();
        }
        catch (JsonException)
        {
            problems.Add($"'{key}' is not a list of rows of whole numbers");
            return null;
        }
    }

    private static void CheckShape(int[][] ids, int[][] mask, int[][]? labels, List<string> problems)
    {
        foreach (var (name, grid) in new[] { ("input_ids", ids), ("attention_mask", mask), ("labels", labels ?? ids) })
        {
            if (grid.Length != ids.Length)
            {
                problems.Add($"'{name}' has {grid.Length} rows, but input_ids has {ids.Length}");
            }

            problems.AddRange(
                grid.Index()
                    .Where(row => row.Item.Length != ids[0].Length)
                    .Select(row =>
                        $"row {row.Index} of '{name}' has length {row.Item.Length}, but the first row of "
                        + $"input_ids has length {ids[0].Length}; pad all rows to the same length"
                    )
            );
        }
    }

    private static void CheckValues(
        int[][] ids,
        int[][] mask,
        int[][]? labels,
        int vocabularySize,
        List<string> problems
    )
    {
        bool IsToken(int id) => (uint)id < (uint)vocabularySize;
        for (var row = 0; row < ids.Length; row++)
        {
            for (var place = 0; place < ids[row].Length; place++)
            {
                if (mask[row][place] is not (0 or 1))
                {
                    problems.Add($"attention_mask[{row}][{place}] is {mask[row][place]}; expected 0 or 1");
                }
                else if (mask[row][place] == 1 && !IsToken(ids[row][place]))
                {
                    problems.Add(
                        $"input_ids[{row}][{place}] is {ids[row][place]}; expected 0 to {vocabularySize - 1}, the "
                            + "model's vocabulary"
                    );
                }

                if (labels?[row][place] is { } label && label != MicroBatch.Ignored && !IsToken(label))
                {
                    problems.Add(
                        $"labels[{row}][{place}] is {label}; expected {MicroBatch.Ignored} or 0 to "
                            + $"{vocabularySize - 1}, the model's vocabulary"
                    );
                }

                if (problems.Count == 20)
                {
                    return;
                }
            }
        }
    }
}
