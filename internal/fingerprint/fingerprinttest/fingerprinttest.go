// Package fingerprinttest varies values field by field, for tests that something is
// compared in all of its fields, and that fields to come change nothing.
package fingerprinttest

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
)

// Change is a value of which one field differs.
type Change[T any] struct {
	// Field is the path of the field, such as Publish.Allow.
	Field string
	Value T
}

// Changes returns the value once for each field in it, nested ones too, with another
// value of that field.
func Changes[T any](of T) []Change[T] {
	var all []Change[T]
	for _, field := range leaves(reflect.TypeFor[T]()) {
		value := of
		change(at(reflect.ValueOf(&value).Elem(), field.index))
		all = append(all, Change[T]{field.path, value})
	}
	return all
}

// Later is a value of a type to which a field was added.
type Later struct {
	// Struct is the path of the struct that has it; empty for the outermost.
	Struct string
	// Unset has that field zero, Set has not.
	Unset, Set any
}

// WithLaterField returns the value once for each struct in it, as a value of a type
// that is the same but for a field more in that struct.
func WithLaterField(value any) []Later {
	from := reflect.ValueOf(value)
	var all []Later
	for _, path := range structPaths(from.Type(), "", func(f reflect.StructField) string { return f.Name }) {
		to := reflect.New(extend(from.Type(), "", path)).Elem()
		copyInto(to, from)
		later := Later{Struct: path, Unset: to.Interface()}
		set := reflect.New(to.Type()).Elem()
		copyInto(set, from)
		if setAdded(set) { // not where that struct is in an empty list
			later.Set = set.Interface()
			all = append(all, later)
		}
	}
	return all
}

// WithoutForm returns the paths of the structs in a type that a form has no entry for.
// Such a struct is written as its Go type happens to be, so that a field added to it
// would change digests that are stored.
func WithoutForm[T any](form map[string]string) []string {
	var missing []string
	for _, path := range structPaths(reflect.TypeFor[T](), "", keyOf) {
		if _, found := form[path]; !found {
			missing = append(missing, path)
		}
	}
	return missing
}

// keyOf is the name of a field in JSON, empty where its own fields are among those of
// the struct that it is in.
func keyOf(field reflect.StructField) string {
	if field.Anonymous {
		return ""
	}
	key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return cmp.Or(key, field.Name)
}

type leaf struct {
	path  string
	index []int
}

// leaves are the fields of a struct that are none themselves.
func leaves(of reflect.Type) []leaf {
	var all []leaf
	for i := range of.NumField() {
		field := of.Field(i)
		if inner := structOf(field.Type); inner != nil && field.Type.Kind() != reflect.Slice {
			for _, l := range leaves(inner) {
				path := field.Name + "." + l.path
				if field.Anonymous {
					path = l.path
				}
				all = append(all, leaf{path, append([]int{i}, l.index...)})
			}
			continue
		}
		all = append(all, leaf{field.Name, []int{i}})
	}
	return all
}

// at returns a field, and makes what pointers on the way to it point to.
func at(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			inner := reflect.New(v.Type().Elem())
			if !v.IsNil() {
				inner.Elem().Set(v.Elem())
			}
			v.Set(inner)
			v = inner.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// change gives a field another value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 7)
	case reflect.Slice:
		item := reflect.New(v.Type().Elem()).Elem()
		if item.Kind() == reflect.Struct {
			if item.NumField() > 0 {
				change(item.Field(0))
			}
		} else {
			change(item)
		}
		v.Set(reflect.Append(v, item))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		change(key)
		change(value)
		changed := reflect.MakeMap(v.Type())
		changed.SetMapIndex(key, value)
		v.Set(changed)
	case reflect.Pointer:
		inner := reflect.New(v.Type().Elem())
		change(inner.Elem())
		v.Set(inner)
	default:
		panic(fmt.Sprintf("fields of type %s are not varied yet", v.Type()))
	}
}

// structOf returns the struct that a type is, points to or lists, nil if none.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// structPaths are the paths of the structs in a type, itself among them, in the names
// that fields are given.
func structPaths(t reflect.Type, path string, nameOf func(reflect.StructField) string) []string {
	t = structOf(t)
	if t == nil {
		return nil
	}
	all := []string{path}
	for field := range t.Fields() {
		all = append(all, structPaths(field.Type, strings.Trim(path+"."+nameOf(field), "."), nameOf)...)
	}
	return all
}

const added = "ScratchField"

// extend returns a type with one more field in the struct at a path.
func extend(t reflect.Type, path, target string) reflect.Type {
	switch t.Kind() {
	case reflect.Pointer:
		return reflect.PointerTo(extend(t.Elem(), path, target))
	case reflect.Slice:
		return reflect.SliceOf(extend(t.Elem(), path, target))
	case reflect.Struct:
	default:
		return t
	}
	var fields []reflect.StructField
	if path == target { // first, so that all others move
		fields = append(fields, reflect.StructField{Name: added, Type: reflect.TypeFor[int64]()})
	}
	for field := range t.Fields() {
		field.Type = extend(field.Type, strings.TrimPrefix(path+"."+field.Name, "."), target)
		fields = append(fields, field)
	}
	return reflect.StructOf(fields)
}

// copyInto copies a value into one of an extended type.
func copyInto(to, from reflect.Value) {
	switch {
	case to.Type() == from.Type():
		to.Set(from)
	case from.Kind() == reflect.Pointer && !from.IsNil():
		to.Set(reflect.New(to.Type().Elem()))
		copyInto(to.Elem(), from.Elem())
	case from.Kind() == reflect.Slice && !from.IsNil():
		to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyInto(to.Index(i), from.Index(i))
		}
	case from.Kind() == reflect.Struct:
		for i := range from.NumField() {
			copyInto(to.FieldByName(from.Type().Field(i).Name), from.Field(i))
		}
	case from.Kind() != reflect.Pointer && from.Kind() != reflect.Slice:
		to.Set(from.Convert(to.Type()))
	}
}

// setAdded sets the added field wherever it is, and reports whether it is anywhere.
func setAdded(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && setAdded(v.Elem())
	case reflect.Slice:
		return v.Len() > 0 && setAdded(v.Index(0))
	case reflect.Struct:
		if field := v.FieldByName(added); field.IsValid() {
			field.SetInt(1)
			return true
		}
		for _, field := range v.Fields() {
			if setAdded(field) {
				return true
			}
		}
	}
	return false
}
