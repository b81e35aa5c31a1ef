package main

import "errors"

// jsonFormat is the value of the flag --format of a command that prints text, or JSON for other programs. The zero value is
// text.
type jsonFormat bool

func (j *jsonFormat) Set(format string) error {
	if format != "text" && format != "json" {
		return errors.New("use text or json")
	}
	*j = format == "json"
	return nil
}

func (j *jsonFormat) String() string {
	if *j {
		return "json"
	}
	return "text"
}

func (*jsonFormat) Type() string { return "string" }
