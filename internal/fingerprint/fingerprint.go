// Package fingerprint makes the short digests that are stored, and by which a later
// run decides whether something has changed. Such a digest must come out the same
// from every later version of Baleen, or an upgrade would issue every credential
// anew. So the bytes behind it are not left to what a Go type happens to be: a
// [Form] names the keys that were there when the digest was first stored.
package fingerprint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Form is how a value is written: as JSON, with the fields of its structs in a fixed
// order. It has an entry for each struct in the value, found by the keys that lead
// to it, with dots between them: "" is the value itself, and what is in a list has
// the path of the list. The entry names the keys that were there when the form was
// frozen. They are always written; a key with a ? behind it only where there is
// something to write, as with omitempty.
//
// A field that the entry does not name came later. It is written behind the others,
// in the order of the alphabet, and only if it is not zero: then what does not use
// it keeps its digest.
type Form map[string]string

// Digest returns 16 hexadecimal digits of the SHA-256 of a value in this form, and
// of what else is to be told apart.
func (f Form) Digest(value any, besides ...string) string {
	data := f.Bytes(value)
	for _, text := range besides {
		data = append(data, text...)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Bytes returns a value in this form.
func (f Form) Bytes(value any) []byte {
	var b bytes.Buffer
	f.write(&b, "", reflect.ValueOf(value))
	return b.Bytes()
}

func (f Form) write(b *bytes.Buffer, path string, v reflect.Value) {
	frozen, hasForm := f[path]
	switch {
	case hasForm && v.Kind() == reflect.Pointer && !v.IsNil():
		f.write(b, path, v.Elem())
	case hasForm && v.Kind() == reflect.Slice && !v.IsNil():
		for i := range v.Len() {
			b.WriteByte("[,"[min(i, 1)])
			f.write(b, path, v.Index(i))
		}
		b.WriteString("[]"[min(v.Len(), 1):])
	case hasForm && v.Kind() == reflect.Struct:
		f.writeStruct(b, path, v, strings.Fields(frozen))
	default:
		data, _ := json.Marshal(v.Interface()) // plain values always encode
		b.Write(data)
	}
}

func (f Form) writeStruct(b *bytes.Buffer, path string, v reflect.Value, frozen []string) {
	later := fieldsOf(v)
	start := b.Len()
	write := func(key string, value reflect.Value) {
		b.WriteByte("{,"[min(b.Len()-start, 1)])
		b.WriteString(`"` + key + `":`)
		f.write(b, strings.TrimPrefix(path+"."+key, "."), value)
	}
	for _, key := range frozen {
		key, optional := strings.CutSuffix(key, "?")
		if value := later[key]; !optional || !isEmpty(value) {
			write(key, value)
		}
		delete(later, key)
	}
	for _, key := range slices.Sorted(maps.Keys(later)) {
		if value := later[key]; !value.IsZero() && !isEmpty(value) {
			write(key, value)
		}
	}
	b.WriteString("{}"[min(b.Len()-start, 1):])
}

// fieldsOf returns the fields of a struct by their keys in JSON, those of embedded
// structs among them.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(v.Type()) {
		if key, _, _ := strings.Cut(field.Tag.Get("json"), ","); field.IsExported() && !field.Anonymous {
			fields[cmp.Or(key, field.Name)] = v.FieldByIndex(field.Index)
		}
	}
	return fields
}

// isEmpty reports whether omitempty of encoding/json leaves a value out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
