using System.CommandLine;
using GlmTune.Cli.Diagnosis;
using GlmTune.Cli.Setup;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune doctor</c>: looks at what training and chat need on this machine.</summary>
internal static class DoctorCommand
{
    public static Command Create(Screen screen)
    {
        var json = Arguments.Json();
        var command = new Command("doctor", "Check this machine: system, GPU, libtorch, launchers, folders.") { json };
        command.SetAction(given =>
        {
            List<Finding> findings = [];
            foreach (var finding in SystemFindings.All().Concat(Libraries()))
            {
                findings.Add(finding);
                if (!given.GetValue(json))
                {
                    Write(screen, finding);
                }
            }

            var errors = findings.Count(finding => finding.Level == FindingLevel.Error);
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(
                    JsonText.Of(
                        new
                        {
                            Ok = errors == 0,
                            Findings = findings.Select(finding => new
                            {
                                Level = finding.Level.ToString().ToLowerInvariant(),
                                finding.Name,
                                finding.Found,
                                finding.Advice,
                            }),
                        }
                    )
                );
            }
            else
            {
                var warnings = findings.Count(finding => finding.Level == FindingLevel.Warning);
                screen.Lines.WriteLine($"{findings.Count} checks: {errors} errors, {warnings} warnings");
            }

            return errors == 0 ? ExitCode.Done : ExitCode.Ours;
        });
        return command;
    }

    // Without OpenSSL, looking at libraries would end the process.
    private static IEnumerable<Finding> Libraries() =>
        OpenSsl.Problem is { } problem
            ? [Finding.Error("OpenSSL", problem, "Then run `glmtune doctor` again.")]
            : LibraryFindings.All();

    private static void Write(Screen screen, Finding finding)
    {
        var level = finding.Level switch
        {
            FindingLevel.Ok => "ok      ",
            FindingLevel.Warning => "warning ",
            _ => "error   ",
        };
        screen.Output.WriteLine($"{level}{finding.Name}: {finding.Found.ReplaceLineEndings(" ")}");
        if (finding.Advice is { } advice)
        {
            screen.Output.WriteLine($"        {advice}");
        }
    }
}
