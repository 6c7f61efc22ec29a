using System.Text.Json;
using GlmTune.Data.Batching;

namespace GlmTune.Recipes.Models;

/// <summary>A padded batch as other frameworks take it, read from JSON: <c>input_ids</c>, <c>attention_mask</c>,
/// <c>labels</c>, each [B, T].</summary>
public sealed record TokenGrid
{
    /// <summary>Token ids [B][T].</summary>
    public required int[][] InputIds { get; init; }

    /// <summary>1 where a token is real, 0 where it is padding, on any side of a row; [B][T].</summary>
    public required int[][] AttentionMask { get; init; }

    /// <summary>What should be predicted, unshifted, −100 where nothing is; [B][T]; null without labels.</summary>
    public int[][]? Labels { get; init; }

    /// <summary>B.</summary>
    public int Rows => InputIds.Length;

    /// <summary>T.</summary>
    public int Length => InputIds[0].Length;

    /// <summary>Reads a file.</summary>
    /// <param name="path">A JSON object; without <c>attention_mask</c> every token is real, and <c>labels</c> may be
    /// absent. Other keys are passed over.</param>
    /// <param name="vocabularySize">One past the highest id that may occur.</param>
    /// <exception cref="InvalidDataException">It is something else; everything that is wrong is in the
    /// message.</exception>
    public static TokenGrid Read(string path, int vocabularySize)
    {
        using var json = Parse(path);
        var problems = new List<string>();
        var ids = Grid(json.RootElement, "input_ids", problems);
        if (ids is null || ids.Length == 0 || ids[0].Length == 0)
        {
            problems.Add("'input_ids' is missing or empty; expected rows of token ids, all of equal length");
        }
        else
        {
            var (mask, labels) = (
                Grid(json.RootElement, "attention_mask", problems),
                Grid(json.RootElement, "labels", problems)
            );
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

    /// <summary>Places of the real tokens of a row, in order.</summary>
    public int[] RealPlaces(int row) => [.. Enumerable.Range(0, Length).Where(place => AttentionMask[row][place] == 1)];

    private static JsonDocument Parse(string path)
    {
        try
        {
            var json = JsonDocument.Parse(File.ReadAllBytes(path));
            return json.RootElement.ValueKind == JsonValueKind.Object
                ? json
                : throw new InvalidDataException(
                    $"{path}: found {json.RootElement.ValueKind.ToString().ToLowerInvariant()}; expected an object "
                        + "with 'input_ids'."
                );
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{path}, line {e.LineNumber + 1}: not valid JSON; expected an object with 'input_ids'.",
                e
            );
        }
    }

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
