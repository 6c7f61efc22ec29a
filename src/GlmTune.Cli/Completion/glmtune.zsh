# Completion of glmtune in zsh: put `source <(glmtune completion zsh)` into ~/.zshrc, after compinit.
_glmtune() {
    local -a words_found
    words_found=("${(@f)$("${words[1]}" "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
    [[ ${words[CURRENT]} == -* ]] || words_found=(${words_found:#-*})
    compadd -a words_found
    _files
}
compdef _glmtune glmtune
