package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/features/services"
	"github.com/firedrill-dev/firedrill/features/shop"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// tables are the generated tables, by the name in their marker. Each stands in one document.
func tables() map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"checks":       func(*testing.T) string { return checkTable(check.Kinds()) },
		"codes":        func(*testing.T) string { return codeTable(codes.OfProblem, codes.OfWarning) },
		"reasons":      func(*testing.T) string { return codeTable(codes.OfReason) },
		"commands":     commandTable,
		"faults":       func(*testing.T) string { return faultTable(injector.Kinds()) },
		"findings":     findingTable,
		"flags":        flagTable,
		"formats":      func(*testing.T) string { return formatTable(reports.Formats()) },
		"implied":      impliedTable,
		"imports":      importGraph,
		"outcomes":     outcomeTable,
		"load kinds":   loadKindTable,
		"placeholders": placeholderTable,
		"packages":     packageTable,
		"parameters":   parameterTable,
		"protections":  protectionTable,
		"protocols":    func(*testing.T) string { return protocolTable(protocols.All()) },
		"rows":         rowTable,
		"sentences":    func(*testing.T) string { return sentenceTable(language.Standard().Phrases()) },
		"system keys":  systemKeyTable,
	}
}

func faultTable(kinds []injector.Kind) string {
	rows := markdown("fault", "a sentence", "healed by")
	for _, k := range kinds {
		rows.add(k.Name, code(k.Example), k.Undo)
	}
	return rows.String()
}

func checkTable(kinds []check.Kind) string {
	rows := markdown("check", "a sentence", "what it asks")
	for _, k := range kinds {
		if !k.Implied {
			rows.add(k.Name, code(k.Example), k.Means)
		}
	}
	return rows.String()
}

func codeTable(of ...codes.Kind) string {
	rows := markdown("code", "meaning", "what to do")
	for _, r := range codes.Table() {
		if r.Of == codes.OfBoth || slices.Contains(of, r.Of) {
			rows.add(code(r.Code), r.Means, r.Remedy)
		}
	}
	return rows.String()
}

func impliedTable(*testing.T) string {
	rows := markdown("check", "what it asks")
	for _, k := range check.Kinds() {
		if k.Implied {
			rows.add(k.Name, k.Means)
		}
	}
	return rows.String()
}

func protocolTable(all []message.Protocol) string {
	rows := markdown("protocol", "what it is", "faults message by message")
	for _, p := range all {
		var can []string
		for _, action := range p.Actions {
			can = append(can, string(action))
		}
		rows.add(p.Name, p.Means, strings.Join(can, ", "))
	}
	return rows.String()
}

func formatTable(formats reports.Table) string {
	rows := markdown("report", "file", "for")
	for _, f := range formats {
		file := "with `--format` only"
		if f.File != "" {
			file = code(f.File)
		}
		rows.add(f.Name, file, f.Means)
	}
	return rows.String()
}

func rowTable(*testing.T) string {
	rows := markdown("row", "claim", "feature", "caught without")
	for _, r := range features.Rows() {
		rows.add(r.N, r.Claim, fmt.Sprintf("[%s](%[1]s)", r.File), r.Without)
	}
	return rows.String()
}

func findingTable(*testing.T) string {
	rows := markdown("feature", "what happens", "verdict")
	for _, f := range features.Findings() {
		verdict := "holds"
		if len(f.Fails) > 0 {
			verdict = "fails: " + f.Fails[len(f.Fails)-1]
		}
		rows.add(fmt.Sprintf("[%s](%s)", strings.TrimPrefix(f.File, "real/"), f.File), f.Scenario, verdict)
	}
	return rows.String()
}

func protectionTable(*testing.T) string {
	rows := markdown("protection", "of", "what it does")
	for _, p := range shop.Protections() {
		rows.add(p.Name, p.Service, p.Means)
	}
	for _, p := range services.Protections() {
		rows.add(p.Name, p.Service+", of the features on real servers", p.Means)
	}
	return rows.String()
}

func outcomeTable(*testing.T) string {
	rows := markdown("answer", "outcome", "why")
	for _, o := range scenarios.Outcomes() {
		rows.add(o.Answer, o.Outcome, o.Why)
	}
	return rows.String()
}

func loadKindTable(*testing.T) string {
	rows := markdown("requests", "on", "answers")
	for _, k := range scenarios.LoadKinds() {
		form, on := k.Many(), "a service of the system"
		if k.About != "" {
			form += " " + k.About + ` "..."`
		}
		if k.Local {
			on = "Go"
		}
		rows.add(code(form), on, k.Means)
	}
	return rows.String()
}

func placeholderTable(*testing.T) string {
	rows := markdown("placeholder", "stands for")
	for _, p := range scenarios.Placeholders() {
		rows.add(code(p.Form), p.Means)
	}
	return rows.String()
}

// headingLinks replaces references to headings, which only "firedrill steps" prints, by links in the manual of scenarios.
var headingLinks = strings.NewReplacer(
	"see WHAT REQUESTS CONTAIN", "see [Requests](#requests)",
	"see WHAT ANSWERS MEAN", "see [Outcomes](#load-answers-and-outcomes)",
	"see LOAD THAT IS NOT HTTP", "see [Load that is not HTTP](#load-that-is-not-http)",
	"the manual's table of faults", "the [table of faults](../injector/README.md#faults)",
)

// sentenceTable returns the sentences of feature files, one table for each group.
func sentenceTable(phrases []language.Phrase) string {
	var b strings.Builder
	group := ""
	rows := &rows{}
	for _, p := range phrases {
		if p.Group != group {
			b.WriteString(rows.String())
			fmt.Fprintf(&b, "\n### Sentences: %s\n\n", p.Group)
			group, rows = p.Group, markdown("sentence", "what it does")
		}
		rows.add(code(p.Pattern), headingLinks.Replace(p.Means))
	}
	return b.String() + rows.String() + "\n"
}

// parameterTable returns the end of the list that "firedrill steps" prints, which explains the parameters.
func parameterTable(t *testing.T) string {
	var b bytes.Buffer
	require.NoError(t, language.Standard().PrintSteps(&b, ""))
	_, list, ok := strings.Cut(b.String(), "IN THE SENTENCES\n\n")
	require.True(t, ok)
	rows := markdown("parameter", "what may stand there")
	for line := range strings.Lines(list) {
		name, means, _ := strings.Cut(strings.TrimSpace(line), "  ")
		rows.add(code(name), strings.TrimSpace(means))
	}
	return rows.String()
}

// systemKeyTable returns the keys of system.yaml and their descriptions, from the schema. The keys of a link, which
// services and clients have, stand at the end.
func systemKeyTable(t *testing.T) string {
	var schema node
	require.NoError(t, json.Unmarshal(language.Standard().Schema(), &schema))
	rows := markdown("key", "meaning")
	schema.keys("", rows)
	schema.Defs["service"].keys("services.NAME.", rows)
	link := schema.Defs["depends"].OneOf[1].Each.OneOf[1]
	link.Properties["framing"] = schema.Defs["framing"]
	link.keys("depends.NAME.", rows)
	schema.Defs["probe"].keys("probes.NAME.", rows)
	schema.Defs["command"].keys("commands.NAME.", rows)
	return rows.String()
}

// node is the part of a JSON Schema that the table of keys needs.
type node struct {
	Description string
	Properties  map[string]node
	Defs        map[string]node `json:"$defs"`
	OneOf       []node
	Each        *node `json:"-"` // additionalProperties, unless it is false
}

func (n *node) UnmarshalJSON(raw []byte) error {
	type plain node
	if err := json.Unmarshal(raw, (*plain)(n)); err != nil {
		return nil //nolint:nilerr // a property that is not allowed
	}
	more := struct{ AdditionalProperties *node }{}
	err := json.Unmarshal(raw, &more)
	n.Each = more.AdditionalProperties
	return err
}

func (n node) keys(prefix string, rows *rows) {
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		key := n.Properties[name]
		if key.Description != "" {
			rows.add(code(prefix+name), key.Description)
		}
		key.keys(prefix+name+".", rows)
	}
}

// commands returns all commands that can be run, and "completion" for its commands, which are alike.
func commands() []*cobra.Command {
	root := command()
	root.InitDefaultCompletionCmd()
	var all []*cobra.Command
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			switch {
			case sub.Hidden:
			case sub.Name() == "completion":
				all = append(all, sub)
			default:
				if sub.Runnable() {
					all = append(all, sub)
				}
				add(sub)
			}
		}
	}
	add(root)
	return all
}

// usageOf returns how a command is called.
func usageOf(c *cobra.Command) string {
	if c.Name() == "completion" {
		return c.CommandPath() + " SHELL"
	}
	return c.CommandPath() + strings.TrimPrefix(c.Use, c.Name())
}

func commandTable(*testing.T) string {
	rows := markdown("command", "what it does")
	for _, c := range commands() {
		rows.add(code(usageOf(c)), c.Short)
	}
	return rows.String()
}

// flagTable returns the flags of each command. Defaults that depend on the machine are left out.
func flagTable(*testing.T) string {
	ofMachine := regexp.MustCompile(`(?m)^(\s+--(?:as|parallel) .*) \(default [^)]*\)$`)
	var b strings.Builder
	for _, c := range commands() {
		if usages := c.LocalFlags().FlagUsages(); usages != "" {
			fmt.Fprintf(&b, "%s\n%s\n", usageOf(c), ofMachine.ReplaceAllString(usages, "$1"))
		}
	}
	return "```text\n" + strings.TrimSpace(b.String()) + "\n```\n"
}

// rows is a Markdown table.
type rows struct{ b strings.Builder }

func markdown(columns ...any) *rows {
	r := &rows{}
	r.add(columns...)
	r.b.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	return r
}

func (r *rows) add(cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(&r.b, "| %s ", strings.ReplaceAll(fmt.Sprint(c), "|", `\|`))
	}
	r.b.WriteString("|\n")
}

func (r *rows) String() string { return r.b.String() }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
