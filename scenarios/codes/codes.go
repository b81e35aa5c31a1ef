// Package codes lists the stable codes of problems in feature and system files. Texts may be reworded; codes stay, so that
// editors, scripts and coding agents can rely on them.
//
// A Message is made by a Code only, so that no problem lacks one.
package codes

import "fmt"

// Code is a row of the table. The zero value is none.
type Code int

// The codes. Each has a row in table.
const (
	_ Code = iota

	UnreadableFile
	NotGherkin
	UnknownSentence
	AmbiguousSentence
	WrongArgument
	UnknownName
	BadValue
	BadName
	BadStructure
	BadPlaceholder
	Duplicate
	Contradiction
	Missing
	NoEffect
	Unsupported
	CannotFail
	WrongMoment
	FaultTooShort
	OutOfBounds
	MissingProgram
	UnsetVariable
	PlainSecret
	NothingSelected
	TooLarge
	TooMany

	InternalError
)

// Row explains a code.
type Row struct {
	Code   string // in kebab case
	Means  string // one sentence, without a full stop
	Remedy string // what to do
}

var table = [...]Row{
	UnreadableFile:    {"unreadable-file", "a file that is named cannot be read, or is not text", "correct its path or save it as UTF-8"},
	NotGherkin:        {"not-gherkin", "a line of a feature file is not Gherkin, or the file lacks a part that Gherkin needs", "write the line as the remedy shows"},
	UnknownSentence:   {"unknown-sentence", "a step is not among the sentences", "take the nearest sentence that the remedy names, or one of `firedrill steps`"},
	AmbiguousSentence: {"ambiguous-sentence", "a step can be read in several ways", "reword it, or the pattern of your own step"},
	WrongArgument:     {"wrong-argument", "a step needs a table or doc string that it does not have, or has one that it does not take, or its table is incomplete", "add or remove the table or doc string, or complete it"},
	UnknownName:       {"unknown-name", "a name stands for nothing: a service, link, group, probe, command, load, key or column", "correct it, or declare it in the system file"},
	BadValue:          {"bad-value", "a value is not of its form or outside of its limits", "write it as the remedy shows"},
	BadName:           {"bad-name", "a name is empty or has characters that it may not have", "use letters, digits, - and _"},
	BadStructure:      {"bad-structure", "a system file is not YAML of the expected structure", "compare it with `firedrill schema system`"},
	BadPlaceholder:    {"bad-placeholder", "a placeholder is not closed or stands for nothing", "write one that the manual lists"},
	Duplicate:         {"duplicate", "something is stated or declared twice", "leave one of them out"},
	Contradiction:     {"contradiction", "two statements exclude each other", "leave one of them out"},
	Missing:           {"missing", "something is not stated that a step or a declaration needs, such as a load, a key or a source of effects", "add what the remedy shows"},
	NoEffect:          {"no-effect", "a statement changes nothing", "leave it out, or add what it needs"},
	Unsupported:       {"unsupported", "the protocol or the kind of service does not have what a step asks for", "use a step for this protocol, or declare another protocol"},
	CannotFail:        {"cannot-fail", "a check or rule holds whatever the system does", "write a limit that the system could exceed"},
	WrongMoment:       {"wrong-moment", "a step is at a place in the scenario where it cannot act", "move it"},
	FaultTooShort:     {"fault-too-short", "a fault ends before it can act", "let it last longer"},
	OutOfBounds:       {"out-of-bounds", "a fault would touch what the scenario does not allow it to touch", "choose another target, or extend the blast radius"},
	MissingProgram:    {"missing-program", "a program that a service needs is not installed, or lacks a permission", "install it, or declare it under `needs` so that the scenario is skipped"},
	UnsetVariable:     {"unset-variable", "an environment variable is not set or its value cannot be used", "set it for the run"},
	PlainSecret:       {"plain-secret", "a file holds a password, which would appear in reports", "write ${env:NAME} in its place"},
	NothingSelected:   {"nothing-selected", "paths, tags and names select no scenario", "correct them"},
	TooLarge:          {"too-large", "a file or value is larger than this program handles", "make it smaller"},
	TooMany:           {"too-many", "there are more problems than are listed", "correct the first ones and try again"},

	InternalError: {"internal-error", "Firedrill itself made a mistake", "report it with the file or the journal"},
}

// Table returns the rows of all codes, in the order of the documentation.
func Table() []Row { return table[1:] }

// String returns the code as reports write it, or "" for the zero value.
func (c Code) String() string { return table[c].Code }

// Message is a text with its code. The zero value is none.
type Message struct {
	code Code
	text string
}

// Msgf returns a message with a formatted text.
func (c Code) Msgf(format string, args ...any) Message {
	return Message{c, fmt.Sprintf(format, args...)}
}

// Message returns a message with this text, or none if the text is empty.
func (c Code) Message(text string) Message {
	if text == "" {
		return Message{}
	}
	return Message{c, text}
}

// Code returns the code of the message.
func (m Message) Code() Code { return m.code }

// String returns the text.
func (m Message) String() string { return m.text }

// None reports whether there is no message.
func (m Message) None() bool { return m == Message{} }
