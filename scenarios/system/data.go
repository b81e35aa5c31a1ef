package system

import (
	"cmp"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Sizes of the file systems of data folders. The least one has room for a journal.
const (
	usualDataSize = 256_000_000
	leastDataSize = 16_000_000
	mostDataSize  = 1_000_000_000_000
)

// Bytes returns the size of the file system.
func (d Data) Bytes() int64 { return cmp.Or(d.Size, usualDataSize) }

// data reads the data folder of a service.
func (r *reader) data(v ast.Node) Data {
	var data Data
	r.Mapping(v, "data", dataKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "folder":
			data.Folder = r.Text(v)
		case "size":
			var err error
			if data.Size, err = source.ParseSize(r.Text(v)); err != nil {
				r.AddProblem(v, err)
			}
		}
	})
	return data
}

// validateData returns what is wrong with the data folder of a service, and what to do. what is "" if nothing is wrong.
func (s Service) validateData() (what codes.Message, hint string) {
	switch {
	case s.Data == Data{}:
		return codes.Message{}, ""
	case s.Address != "":
		return codes.Unsupported.Msgf("%q runs already, and its data is not Firedrill's to lose", s.Name), "leave `data` out"
	case s.Data.Folder == "":
		return codes.Missing.Msgf("`data` names no folder"), "write data: {folder: data}, and ${dir}/data in the command"
	case !filepath.IsLocal(s.Data.Folder) || filepath.Clean(s.Data.Folder) == ".":
		return codes.BadValue.Msgf("%q is not a folder below that of the service", s.Data.Folder), "write a relative path, such as data, and ${dir}/data in the command"
	case s.Data.Size != 0 && (s.Data.Size < leastDataSize || s.Data.Size > mostDataSize):
		return codes.BadValue.Msgf("a file system of this size cannot be made"), "write a size from 16 MB to 1 TB, or leave it out for 256 MB; only what is written takes space"
	}
	return codes.Message{}, ""
}
