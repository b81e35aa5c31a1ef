package reports

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Annotation is a message about a line of a file.
type Annotation struct {
	File           string
	Line           int // 0 if it is not known
	Title, Message string
}

// Annotations returns an annotation for each reason why a run did not pass, failed checks first. It is empty exactly if
// the run passed.
func Annotations(b *journal.Book) []Annotation {
	var all []Annotation
	for _, r := range causes(b) {
		text := r.Reason
		if r.Observed != "" {
			text = "observed " + r.Observed + "; " + text
		}
		a := Annotation{Title: r.Outcome + ": " + r.Check, Message: text}
		file, line, ok := cutLast(r.Position, ":")
		if n, err := strconv.Atoi(line); ok && err == nil {
			a.File, a.Line = file, n
		}
		all = append(all, a)
	}
	if why := unjudgedReason(b); len(all) == 0 && why != "" {
		all = append(all, Annotation{Title: Outcome(b), Message: why})
	}
	return all
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// maxAnnotations is how many errors of a step GitHub shows.
const maxAnnotations = 10

// WriteGitHub writes annotations as commands for a runner of GitHub Actions, at most as many as it shows; the last one
// says how many there are besides. GitHub expects files relative to the root of the repository.
func WriteGitHub(w io.Writer, all []Annotation) error {
	var out strings.Builder
	for i, a := range all[:min(len(all), maxAnnotations)] {
		if i == maxAnnotations-1 && len(all) > maxAnnotations {
			a.Title += fmt.Sprintf(" (and %d more)", len(all)-maxAnnotations)
		}
		place := ""
		if a.File != "" {
			place = fmt.Sprintf("file=%s,line=%d,", parameter(a.File), a.Line)
		}
		fmt.Fprintf(&out, "::error %stitle=%s::%s\n", place, parameter(a.Title), command(a.Message))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

var (
	commandEscapes   = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	parameterEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// command returns a text as the message of a command of GitHub Actions.
func command(text string) string { return commandEscapes.Replace(journal.Visible(text)) }

// parameter returns a text as the value of a parameter of a command of GitHub Actions.
func parameter(text string) string { return parameterEscapes.Replace(plain(text)) }
