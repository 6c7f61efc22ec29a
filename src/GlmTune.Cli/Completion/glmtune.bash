# Completion of glmtune in bash: put `source <(glmtune completion bash)` into ~/.bashrc.
_glmtune() {
    local word=${COMP_WORDS[COMP_CWORD]} words
    words=$("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)
    # Options are offered after a dash; elsewhere files and folders come after the program's own words.
    [[ $word == -* ]] || words=$(grep -v '^-' <<<"$words")
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -o bashdefault -F _glmtune glmtune
