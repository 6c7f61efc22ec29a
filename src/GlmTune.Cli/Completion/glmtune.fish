# Completion of glmtune in fish: glmtune completion fish > ~/.config/fish/completions/glmtune.fish
function __glmtune_words
    set -l line (commandline -cp)
    set -l found (glmtune "[suggest:"(string length -- $line)"]" $line 2>/dev/null)
    if string match -q -- '-*' (commandline -ct)
        printf '%s\n' $found
    else
        string match -v -- '-*' $found
    end
end
complete -c glmtune -a '(__glmtune_words)'
