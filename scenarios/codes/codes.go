// Package codes lists the stable codes of problems in feature and system files and of reasons why a verdict or a run is
// inconclusive. Texts may be reworded; codes stay, so that editors, scripts and coding agents can rely on them.
//
// A Message is made by a Code only, so that no problem and no such reason lacks one.
package codes

import "fmt"

// Code is a row of the table. The zero value is none.
type Code int

// The codes. Each has a row in table.
const (
	_ Code = iota

	// of problems
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

	// of warnings
	Unused
	Unreferenced
	ManyStories
	SharedTarget

	// of reasons for an inconclusive outcome
	ServiceExited
	RunnerTrouble
	BaselineUnsteady
	LoadNotDelivered
	LoadRepeated
	FaultMetNothing
	FaultNotHealed
	InjectedByHand
	RelayAccounting
	EffectsUnknown
	ProvesNothing
	NoFaultInjected
	NotExercised
	TooFewRequests
	TooShort
	ProbeUnanswered
	NotObservable
	NotComparable
	Undecided
	LoadLate
	RunnerPaused
	NoCheck
	NotStarted
	Skipped
	Stopped
	Aborted
	TimedOut
	Interrupted
	Unfinished

	// of both
	InternalError
)

// Row explains a code.
type Row struct {
	Code   string // in kebab case
	Of     Kind
	Means  string // one sentence, without a full stop
	Remedy string // what to do
}

// Kind says what a code is about.
type Kind string

// The kinds of codes.
const (
	OfProblem Kind = "problem"
	OfWarning Kind = "warning"
	OfReason  Kind = "inconclusive"
	OfBoth    Kind = "problem, inconclusive"
)

var table = [...]Row{
	UnreadableFile:    {"unreadable-file", OfProblem, "a file that is named cannot be read, or is not text", "correct its path or save it as UTF-8"},
	NotGherkin:        {"not-gherkin", OfProblem, "a line of a feature file is not Gherkin, or the file lacks a part that Gherkin needs", "write the line as the remedy shows"},
	UnknownSentence:   {"unknown-sentence", OfProblem, "a step is not among the sentences", "take the nearest sentence that the remedy names, or one of `firedrill steps`"},
	AmbiguousSentence: {"ambiguous-sentence", OfProblem, "a step can be read in several ways", "reword it, or the pattern of your own step"},
	WrongArgument:     {"wrong-argument", OfProblem, "a step needs a table or doc string that it does not have, or has one that it does not take, or its table is incomplete", "add or remove the table or doc string, or complete it"},
	UnknownName:       {"unknown-name", OfProblem, "a name stands for nothing: a service, link, group, probe, command, load, key or column", "correct it, or declare it in the system file"},
	BadValue:          {"bad-value", OfProblem, "a value is not of its form or outside of its limits", "write it as the remedy shows"},
	BadName:           {"bad-name", OfProblem, "a name is empty or has characters that it may not have", "use letters, digits, - and _"},
	BadStructure:      {"bad-structure", OfProblem, "a system file is not YAML of the expected structure", "compare it with `firedrill schema system`"},
	BadPlaceholder:    {"bad-placeholder", OfProblem, "a placeholder is not closed or stands for nothing", "write one that the manual lists"},
	Duplicate:         {"duplicate", OfProblem, "something is stated or declared twice", "leave one of them out"},
	Contradiction:     {"contradiction", OfProblem, "two statements exclude each other", "leave one of them out"},
	Missing:           {"missing", OfProblem, "something is not stated that a step or a declaration needs, such as a load, a key or a source of effects", "add what the remedy shows"},
	NoEffect:          {"no-effect", OfProblem, "a statement changes nothing", "leave it out, or add what it needs"},
	Unsupported:       {"unsupported", OfProblem, "the protocol or the kind of service does not have what a step asks for", "use a step for this protocol, or declare another protocol"},
	CannotFail:        {"cannot-fail", OfProblem, "a check or rule holds whatever the system does", "write a limit that the system could exceed"},
	WrongMoment:       {"wrong-moment", OfProblem, "a step is at a place in the scenario where it cannot act", "move it"},
	FaultTooShort:     {"fault-too-short", OfProblem, "a fault ends before it can act", "let it last longer"},
	OutOfBounds:       {"out-of-bounds", OfProblem, "a fault would touch what the scenario does not allow it to touch", "choose another target, or extend the blast radius"},
	MissingProgram:    {"missing-program", OfProblem, "a program that a service needs is not installed, or lacks a permission", "install it, or declare it under `needs` so that the scenario is skipped"},
	UnsetVariable:     {"unset-variable", OfProblem, "an environment variable is not set or its value cannot be used", "set it for the run"},
	PlainSecret:       {"plain-secret", OfProblem, "a file holds a password, which would appear in reports", "write ${env:NAME} in its place"},
	NothingSelected:   {"nothing-selected", OfProblem, "paths, tags and names select no scenario", "correct them"},
	TooLarge:          {"too-large", OfProblem, "a file or value is larger than this program handles", "make it smaller"},
	TooMany:           {"too-many", OfProblem, "there are more problems than are listed", "correct the first ones and try again"},

	Unused:       {"unused", OfWarning, "something is declared or read, and no check asks about it", "leave it out, or add a check of it"},
	Unreferenced: {"unreferenced", OfWarning, "a system file declares something that nothing refers to: a probe, a source of effects, a command, a group or a service", "leave it out, or add a step that uses it"},
	ManyStories:  {"many-stories", OfWarning, "a scenario injects faults that have nothing to do with each other, so that a failure does not show which of them caused it", "write a scenario for each"},
	SharedTarget: {"shared-target", OfWarning, "a fault or a check also concerns what others send, since they share an address or the system", "give each caller an address of its own, or start the system for this scenario alone"},

	ServiceExited:    {"service-exited", OfReason, "a service exited without being told to, so that measurements do not show the system under the fault", "read its log in the report and start it so that it stays"},
	RunnerTrouble:    {"runner-trouble", OfReason, "Firedrill could not carry out a step", "remove the cause that the reason names"},
	BaselineUnsteady: {"baseline-unsteady", OfReason, "the system was not in its steady state before the fault", "let the load run longer before the fault, or state the steady state that the system has"},
	LoadNotDelivered: {"load-not-delivered", OfReason, "not all requests of the load were sent, or not in time", "reduce the load, or run it on a machine with more CPUs"},
	LoadRepeated:     {"load-repeated", OfReason, "the load generator repeated a request by itself, so that duplicates may be its own", "run it again; if it stays, report it"},
	FaultMetNothing:  {"fault-met-nothing", OfReason, "a fault affected no request of the load", "choose calls that the load causes, or let the fault last longer"},
	FaultNotHealed:   {"fault-not-healed", OfReason, "a fault was not healed, or not in time", "remove the cause that the reason names"},
	InjectedByHand:   {"injected-by-hand", OfReason, "somebody injected a fault by hand while the drill ran, so that it was not the drill that the scenario describes", "write the fault into the scenario, or run it again without `firedrill inject`"},
	RelayAccounting:  {"relay-accounting", OfReason, "the counters of a relay do not add up, or datagrams were lost outside of faults", "reduce the load; if it stays, report it"},
	EffectsUnknown:   {"effects-unknown", OfReason, "it is not known which effects were applied", "let the source list all effects with their keys, and allow them more time to settle"},
	ProvesNothing:    {"proves-nothing", OfReason, "a system that does nothing would satisfy the checks", "add a check that only a working system passes"},
	NoFaultInjected:  {"no-fault-injected", OfReason, "a check asks about a fault, and none was injected", "see why in the reasons of the other checks"},
	NotExercised:     {"not-exercised", OfReason, "nothing happened that could have violated the check", "choose a fault or a load that puts it to the test, as the reason says"},
	TooFewRequests:   {"too-few-requests", OfReason, "too few requests, calls or answers were observed to judge the check", "send more load, or let the fault last longer"},
	TooShort:         {"too-short", OfReason, "the system was observed for too short a time to judge the check", "let the fault or the load last longer"},
	ProbeUnanswered:  {"probe-unanswered", OfReason, "a probe, or a key that was sent again, got too few answers, or the wrong one before the fault", "correct the probe, or ask it more often"},
	NotObservable:    {"not-observable", OfReason, "what the check asks about cannot be seen on the links under this fault", "use the fault that the reason names"},
	NotComparable:    {"not-comparable", OfReason, "what the check compares cannot be told apart, or was not alike before the fault", "let answers or effects identify requests, as the reason says"},
	Undecided:        {"undecided", OfReason, "the observations fit both a pass and a failure", "repeat the run, with more load or a longer fault"},
	LoadLate:         {"load-late", OfReason, "the lateness of the load generator may have caused the result", "run it on a machine that is less busy"},
	RunnerPaused:     {"runner-paused", OfReason, "a pause of Firedrill itself may have caused the result", "run it on a machine that is less busy"},
	NoCheck:          {"no-check", OfReason, "no check was judged", "add a check, or see why the scenario ended before it"},
	NotStarted:       {"not-started", OfReason, "the system did not start, or a step could not be carried out", "remove the cause that the reason names"},
	Skipped:          {"skipped", OfReason, "the scenario did not run, since a program that it needs is not installed", "install the program that the reason names"},
	Stopped:          {"stopped", OfReason, "a stop rule ended the scenario", "see whether the system or the rule is at fault"},
	Aborted:          {"aborted", OfReason, "somebody aborted the run, with `firedrill abort` or a key", "run it again"},
	TimedOut:         {"timed-out", OfReason, "the scenario was not over at its time limit, or takes longer than it, as estimated", "allow it more time, or shorten the steps or settings that take it"},
	Interrupted:      {"interrupted", OfReason, "the run was interrupted", "run it again"},
	Unfinished:       {"unfinished", OfReason, "the run or the scenario ended before this was known, or never began", "run it again, with more time"},

	InternalError: {"internal-error", OfBoth, "Firedrill itself made a mistake", "report it with the file or the journal"},
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

// Wrap returns the message with another text, which usually contains its own.
func (m Message) Wrap(format string, args ...any) Message {
	return Message{m.code, fmt.Sprintf(format, args...)}
}
