package feature

import "slices"

// arrange sets the levels of comments and tags, and before which lines an empty line stands. Each other line is
// treated together with the comments and tags that precede it. section is the level of comments at the end of the
// file.
func arrange(lines []*line, section int) {
	var above *line
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines) && (lines[end].kind == comment || lines[end].kind == tags) {
			end++
		}
		below := &line{kind: fileEnd, level: section, after: true}
		if end < len(lines) {
			below = lines[end]
		}
		place(above, lines[i:end], below)
		above = below
		i = end + 1
	}
}

// place sets the levels of the comments and tags between two other lines, and the gaps between all of them. above is
// nil at the beginning of the file.
func place(above *line, between []*line, below *line) {
	all := slices.Concat(between, []*line{below})
	trailing := trailingComments(above, all)
	for _, l := range all[:trailing] {
		l.level = above.commentLevel()
	}
	tagged := false
	for i, l := range all[trailing:] {
		l.level = below.level
		switch {
		case i > 0:
			l.gap = l.after && !tagged && !below.continues()
		case trailing > 0:
			l.gap = true
		default:
			l.gap = gapAfter(above, l, below)
		}
		tagged = tagged || l.kind == tags
	}
}

// trailingComments returns how many of the lines are comments that belong to the line above: those directly below it,
// if an empty line follows them.
func trailingComments(above *line, lines []*line) int {
	if above == nil || lines[len(lines)-1].continues() {
		return 0
	}
	for i, l := range lines {
		if l.after {
			return i
		}
		if l.kind != comment {
			return 0
		}
	}
	return 0
}

// gapAfter reports whether an empty line stands between a line and the next one, which is below or else the first of
// the comments and tags before it.
func gapAfter(above, next, below *line) bool {
	switch {
	case above == nil:
		return false
	case below.kind == part || below.kind == examples:
		return true
	case above.kind == prose:
		return below.kind != prose
	case below.continues(), above.kind == part && below.kind == step:
		return false
	}
	return next.after
}

// continues reports whether the line belongs to what is above it, so that no empty line may separate them.
func (l *line) continues() bool {
	return l.kind == row || l.kind == docDelimiter || l.kind == docContent || l.kind == prose
}

// commentLevel returns the level of comments that belong to the line.
func (l *line) commentLevel() int {
	switch l.kind {
	case featureLine, part, examples:
		return l.level + 1
	case docDelimiter:
		return l.level - 1
	}
	return l.level
}
