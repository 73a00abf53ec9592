# The targets of a Makefile that have a comment "## ...", and the lines "#: ...", in 80 columns.
BEGIN {
    FS = ":[^#]*## "
    INDENT = 20
    COLUMNS = 80
    print "Usage: make TARGET [VARIABLE=...]\n"
}

/^[a-z][a-z-]*:.*## / {
    line = sprintf("  %-" (INDENT - 3) "s", $1)
    count = split($2, words, " ")
    for (i = 1; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > COLUMNS) {
            print line
            line = sprintf("%" (INDENT - 1) "s", "")
        }
        line = line " " words[i]
    }
    print line
}

/^#: / {
    variables = variables "  " substr($0, 4) "\n"
}

END {
    printf "\n%s", variables
}
