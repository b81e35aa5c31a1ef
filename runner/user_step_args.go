package runner

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	messages "github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
	bytesType   = reflect.TypeFor[[]byte]()
	docType     = reflect.TypeFor[*messages.PickleDocString]() // godog.DocString is this type
	tableType   = reflect.TypeFor[*messages.PickleTable]()     // godog.Table is this type
)

const needsGodog = "godog itself runs such steps: set Options.Drive to godogsteps.Drive"

// checkStepFunc returns an error if the function of a step cannot be called.
func checkStepFunc(s Step) error {
	t := reflect.TypeOf(s.Do)
	if t == nil || t.Kind() != reflect.Func {
		return fmt.Errorf("step %q: Do is %T: it must be a function", s.Pattern, s.Do)
	}
	for i := range t.NumIn() {
		p := t.In(i)
		if i == 0 && p == contextType || p == bytesType || p == docType || p == tableType {
			continue
		}
		if p.Kind() != reflect.String && !(p.Kind() >= reflect.Int && p.Kind() <= reflect.Float64 && p.Kind() != reflect.Uintptr) {
			return fmt.Errorf("step %q: parameter %d is %s: it must be a string, a number, []byte, *godog.DocString or *godog.Table; %s", s.Pattern, i+1, p, needsGodog)
		}
	}
	switch {
	case t.NumOut() == 0,
		t.NumOut() == 1 && (t.Out(0) == errorType || t.Out(0) == contextType),
		t.NumOut() == 2 && t.Out(0) == contextType && t.Out(1) == errorType:
		return nil
	}
	return fmt.Errorf("step %q: the function is %s: it must return an error, a context.Context, both or nothing; %s", s.Pattern, t, needsGodog)
}

// arguments converts the submatches of a step's pattern, and the doc string or table below the step,
// to arguments of a function of type t.
func arguments(ctx context.Context, t reflect.Type, matched []string, own *scenarios.Own) ([]reflect.Value, error) {
	var values []reflect.Value
	if t.NumIn() > 0 && t.In(0) == contextType {
		values = append(values, reflect.ValueOf(ctx))
	}
	for i := len(values); i < t.NumIn(); i++ {
		p := t.In(i)
		v := reflect.New(p).Elem()
		var err error
		switch {
		case p == tableType && own.Table != nil:
			v.Set(reflect.ValueOf(table(own.Table)))
		case p == docType && own.Doc != nil:
			v.Set(reflect.ValueOf(&messages.PickleDocString{Content: *own.Doc}))
		case len(matched) > 0 && p != tableType && p != docType:
			err = convert(v, matched[0])
			matched = matched[1:]
		case own.Doc != nil && p != tableType:
			err = convert(v, *own.Doc)
		default:
			err = errors.New("the step has no value for it")
		}
		if err != nil {
			return nil, fmt.Errorf("convert argument %d to %s: %w", i+1, p, err)
		}
		values = append(values, v)
	}
	return values, nil
}

// convert sets v to the value of text.
func convert(v reflect.Value, text string) error {
	switch {
	case v.Type() == bytesType:
		v.SetBytes([]byte(text))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		v.SetFloat(n)
		return err
	}
	return nil
}

func table(rows [][]string) *messages.PickleTable {
	t := &messages.PickleTable{}
	for _, row := range rows {
		r := &messages.PickleTableRow{}
		for _, cell := range row {
			r.Cells = append(r.Cells, &messages.PickleTableCell{Value: cell})
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}
