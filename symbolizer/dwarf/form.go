package dwarf

// Forms are how values are written (DWARF 5, section 7.5.6). The last two
// groups are GNU's: for DWARF 4 with split files, and for dwz.
const (
	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c

	formGNUAddrIndex = 0x1f01
	formGNUStrIndex  = 0x1f02

	formGNURefAlt  = 0x1f20
	formGNUStrpAlt = 0x1f21
)

// sizeOf returns the size of values of a form in a unit, -1 when it differs.
func sizeOf(form uint16, u *unit) int {
	switch form {
	case formFlagPresent, formImplicitConst:
		return 0
	case formData1, formFlag, formRef1, formStrx1, formAddrx1:
		return 1
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2
	case formStrx3, formAddrx3:
		return 3
	case formData4, formRef4, formRefSup4, formStrx4, formAddrx4:
		return 4
	case formData8, formRef8, formRefSup8, formRefSig8:
		return 8
	case formData16:
		return 16
	case formAddr:
		return int(u.addressSize)
	case formRefAddr:
		if u.version <= 2 {
			return int(u.addressSize)
		}
		return u.offsetSize()
	case formStrp, formLineStrp, formSecOffset, formStrpSup, formGNURefAlt, formGNUStrpAlt:
		return u.offsetSize()
	}
	return -1
}

// value is an attribute's value as it is written; what number means is the
// form's.
type value struct {
	form   uint16
	number uint64
	text   []byte // of formString
}

// read reads one value. The contents of blocks are skipped.
func (b *buffer) value(a attr, u *unit) value {
	form := a.form
	if form == formIndirect {
		form = uint16(b.uleb())
		if form == formIndirect || form == formImplicitConst {
			b.fail()
		}
	}
	v := value{form: form}
	switch form {
	case formImplicitConst:
		v.number = uint64(a.value)
	case formFlagPresent:
		v.number = 1
	case formSdata:
		v.number = uint64(b.sleb())
	case formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, formGNUAddrIndex, formGNUStrIndex:
		v.number = b.uleb()
	case formString:
		v.text = b.text()
	case formBlock1:
		b.skip(uint64(b.u8()))
	case formBlock2:
		b.skip(uint64(b.u16()))
	case formBlock4:
		b.skip(uint64(b.u32()))
	case formBlock, formExprloc:
		b.skip(b.uleb())
	case formData16:
		b.skip(16)
	default:
		size := sizeOf(form, u)
		if size < 0 {
			b.fail() // and nobody knows how long it is
			break
		}
		v.number = b.number(size)
	}
	return v
}

// isConstant reports whether a value is a number and no place in a section.
func (v *value) isConstant() bool {
	switch v.form {
	case formData1, formData2, formData4, formData8, formUdata, formSdata, formImplicitConst:
		return true
	}
	return false
}

// number32 is for line numbers and the like: what does not fit is not known.
func (v *value) number32() uint32 {
	if !v.isConstant() || v.number > 1<<31 {
		return 0
	}
	return uint32(v.number)
}

// text returns the string that a value stands for, "" when it cannot be had.
func (u *unit) text(v value) string {
	f := u.file
	switch v.form {
	case formString:
		if len(v.text) > maxString {
			return ""
		}
		return string(v.text)
	case formStrp:
		return f.str.text(v.number)
	case formLineStrp:
		return f.lineStr.text(v.number)
	case formStrpSup, formGNUStrpAlt:
		if f.alt != nil {
			return f.alt.str.text(v.number)
		}
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4, formGNUStrIndex:
		size := u.offsetSize()
		if v.number > f.strOffsets.size {
			return ""
		}
		if offset, ok := f.strOffsets.number(u.strOffsetsBase+v.number*uint64(size), size); ok {
			return f.str.text(offset)
		}
	}
	return ""
}

// address returns the address that a value stands for.
func (u *unit) address(v value) (uint64, bool) {
	switch v.form {
	case formAddr:
		return v.number, true
	case formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4, formGNUAddrIndex:
		return u.indexedAddress(v.number)
	}
	return 0, false
}

func (u *unit) indexedAddress(index uint64) (uint64, bool) {
	if index > u.file.addr.size {
		return 0, false
	}
	return u.file.addr.number(u.addrBase+index*uint64(u.addressSize), int(u.addressSize))
}

// reference returns the place of the entry that a value refers to, and in
// which file; nil when it cannot be had.
func (u *unit) reference(v value) (*file, uint64) {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		if v.number < u.limit-u.offset {
			return u.file, u.offset + v.number
		}
	case formRefAddr:
		return u.file, v.number
	case formRefSup4, formRefSup8, formGNURefAlt:
		return u.file.alt, v.number
	}
	return nil, 0
}
