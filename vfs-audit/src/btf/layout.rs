//! Questions to BTF: where a member lies, which type an op's argument has, how wide a table is.

use std::collections::HashMap;

use super::parse::{Btf, TypeId, TypeKind};

/// Typedefs and qualifiers around one type, and anonymous structs inside one another, that are followed; no compiler makes
/// so many, and in damaged BTF they can go round in circles.
const NESTING_MAX: usize = 32;
/// Members of one struct that are looked at, those of its anonymous ones included: each can hold all the others again.
const MEMBERS_MAX: usize = 65_536;

/// One step on the way along members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read a pointer so many bytes into the object.
    Dereference(u32),
    /// The object begins so many bytes into the previous one.
    Embedded(u32),
}

/// The prototype of a function pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prototype {
    /// For each argument the name of its type: the struct for a pointer to one, that with ` *` for a pointer to such a
    /// pointer, else the outermost name.
    pub arguments: Vec<String>,
    /// Bytes of each argument.
    pub argument_bytes: Vec<u8>,
    /// Name of the result's type; empty for `void`.
    pub result: String,
    /// Bytes of the result.
    pub result_bytes: u8,
}

impl Btf {
    /// Follows modifiers, and typedefs too.
    pub(super) fn strip(&self, mut id: TypeId) -> TypeId {
        for _ in 0..NESTING_MAX {
            let Some(to) = self.behind(id, true) else { break };
            id = to;
        }
        id
    }

    fn strip_modifiers(&self, mut id: TypeId) -> TypeId {
        for _ in 0..NESTING_MAX {
            let Some(to) = self.behind(id, false) else { break };
            id = to;
        }
        id
    }

    /// The member `name` of struct `id`, through anonymous structs and unions: byte offset and type.
    fn member(&self, id: TypeId, name: &str) -> Option<(u32, TypeId)> {
        self.member_within(id, name, NESTING_MAX, &mut MEMBERS_MAX.clone())
    }

    fn member_within(&self, id: TypeId, name: &str, nesting: usize, looks: &mut usize) -> Option<(u32, TypeId)> {
        for (is_it, is_anonymous, offset, type_id) in self.members_called(self.strip(id), name)? {
            *looks = looks.checked_sub(1)?;
            if is_it {
                return Some((offset, type_id));
            }
            if is_anonymous
                && nesting > 0
                && let Some((inner, type_id)) = self.member_within(type_id, name, nesting - 1, looks)
            {
                return Some((offset.checked_add(inner)?, type_id));
            }
        }
        None
    }

    /// Byte offset of the member at the end of `path`, all embedded, in struct `owner`.
    ///
    /// # Errors
    /// Names the struct or the member that this kernel does not have.
    pub fn offset_of(&self, owner: &str, path: &[&str]) -> Result<u32, String> {
        let mut id = self.struct_named(owner).ok_or_else(|| format!("no struct {owner}"))?;
        let mut offset = 0;
        for name in path {
            let (at, type_id) = self.member(id, name).ok_or_else(|| format!("no field {owner}.{}", path.join(".")))?;
            offset =
                u32::checked_add(offset, at).ok_or_else(|| format!("{owner}.{} is too far away", path.join(".")))?;
            id = type_id;
        }
        Ok(offset)
    }

    /// First bit of bit field `name` in struct `owner`, itself no member of an anonymous one.
    pub fn first_bit_of(&self, owner: &str, name: &str) -> Option<u32> {
        let TypeKind::Struct(_, members) = self.kind(self.struct_named(owner)?) else { return None };
        members.iter().find(|member| member.name == name).map(|member| member.bit_offset)
    }

    /// Size in bytes of struct `name`.
    pub fn size_of(&self, name: &str) -> Option<u32> {
        let TypeKind::Struct(size, _) = self.kind(self.struct_named(name)?) else { return None };
        Some(size)
    }

    /// Follows `path` from an object of struct `owner`: the steps, and the struct at the end.
    ///
    /// # Errors
    /// Names the struct or the member that this kernel does not have.
    pub fn walk<S: AsRef<str>>(&self, owner: &str, path: &[S]) -> Result<(Vec<Step>, String), String> {
        let mut id = self.struct_named(owner).ok_or_else(|| format!("no struct {owner}"))?;
        let mut steps = Vec::new();
        for name in path {
            let name = name.as_ref();
            let (offset, type_id) = self
                .member(id, name)
                .ok_or_else(|| format!("no field {name} in struct {}", self.name(self.strip(id))))?;
            let stripped = self.strip(type_id);
            if let TypeKind::Pointer(to) = self.kind(stripped) {
                steps.push(Step::Dereference(offset));
                id = self.strip(to);
            } else {
                steps.push(Step::Embedded(offset));
                id = stripped;
            }
        }
        Ok((steps, self.name(id).to_owned()))
    }

    /// Where the value at the end of `path` lies, from an object of struct `owner`: the steps to the struct that has it, its
    /// byte offset there, and its bytes (1, 2, 4 or 8).
    ///
    /// # Errors
    /// Names what this kernel does not have, or a member that is no plain value.
    pub fn value_at<S: AsRef<str>>(&self, owner: &str, path: &[S]) -> Result<(Vec<Step>, u32, u8), String> {
        let Some((last, way)) = path.split_last() else { return Err(format!("no member of {owner} is named")) };
        let mut id = self.struct_named(owner).ok_or_else(|| format!("no struct {owner}"))?;
        let mut steps = Vec::new();
        for name in way {
            let (offset, type_id) = self.named_member(id, name.as_ref())?;
            let stripped = self.strip(type_id);
            if let TypeKind::Pointer(to) = self.kind(stripped) {
                steps.push(Step::Dereference(offset));
                id = self.strip(to);
            } else {
                steps.push(Step::Embedded(offset));
                id = stripped;
            }
        }
        let (offset, type_id) = self.named_member(id, last.as_ref())?;
        match self.width_of(type_id) {
            width @ (1 | 2 | 4 | 8) => Ok((steps, offset, width as u8)),
            width => Err(format!("{owner}.{} is {width} bytes", last.as_ref())),
        }
    }

    fn named_member(&self, id: TypeId, name: &str) -> Result<(u32, TypeId), String> {
        self.member(id, name).ok_or_else(|| format!("no field {name} in struct {}", self.name(self.strip(id))))
    }

    /// Byte offset of member `name` of the struct that typedef `typedef` stands for.
    pub fn offset_in_typedef(&self, typedef: &str, name: &str) -> Option<u32> {
        self.member(self.typedef_named(typedef)?, name).map(|(offset, _)| offset)
    }

    /// The arguments (see [`Prototype::arguments`]) of the prototype with this type number.
    pub fn arguments_of(&self, prototype: TypeId) -> Option<Vec<String>> {
        let TypeKind::Prototype(_, parameters) = self.kind(prototype) else { return None };
        Some(parameters.into_iter().map(|p| self.argument_name(p)).collect())
    }

    /// Functions of the kernel proper that take just these arguments (see [`Prototype::arguments`]) and return nothing.
    pub fn functions_taking(&self, arguments: &[String]) -> Vec<String> {
        let takes = |id: TypeId| {
            let TypeKind::Prototype(0, parameters) = self.kind(id) else { return false };
            parameters.len() == arguments.len()
                && parameters.iter().zip(arguments).all(|(p, wanted)| self.argument_name(*p) == *wanted)
        };
        // Many functions share a prototype.
        let mut known: HashMap<TypeId, bool> = HashMap::new();
        let mut is_wanted = |id: TypeId| *known.entry(id).or_insert_with(|| takes(id));
        self.functions().filter(|(_, id)| is_wanted(*id)).map(|(at, _)| self.function_name(at).to_owned()).collect()
    }

    /// The function-pointer members of struct `table`: name, byte offset, prototype.
    pub fn slots(&self, table: &str) -> Vec<(String, u32, Prototype)> {
        let Some(TypeKind::Struct(_, members)) = self.struct_named(table).map(|id| self.kind(id)) else {
            return Vec::new();
        };
        let mut slots = Vec::new();
        for member in members {
            let offset = member.bit_offset / 8;
            if member.name.is_empty() {
                slots.extend(self.anonymous_slots(member.type_id, offset));
            } else if let Some(prototype) = self.prototype(member.type_id) {
                slots.push((member.name, offset, prototype));
            }
        }
        slots
    }

    fn anonymous_slots(&self, id: TypeId, base: u32) -> Vec<(String, u32, Prototype)> {
        let TypeKind::Struct(_, members) = self.kind(self.strip(id)) else { return Vec::new() };
        let slot = |m: super::parse::Member| {
            self.prototype(m.type_id)
                .and_then(|prototype| Some((m.name, base.checked_add(m.bit_offset / 8)?, prototype)))
        };
        members.into_iter().filter_map(slot).collect()
    }

    /// The prototype behind a function pointer, when `id` is one.
    fn prototype(&self, id: TypeId) -> Option<Prototype> {
        let TypeKind::Pointer(to) = self.kind(self.strip(id)) else { return None };
        let TypeKind::Prototype(result, parameters) = self.kind(self.strip(to)) else { return None };
        Some(Prototype {
            argument_bytes: parameters.iter().map(|p| self.width_of(*p) as u8).collect(),
            arguments: parameters.into_iter().map(|p| self.argument_name(p)).collect(),
            result: self.argument_name(result),
            result_bytes: self.width_of(result) as u8,
        })
    }

    /// The name by which a rule calls an argument's type.
    fn argument_name(&self, id: TypeId) -> String {
        let id = self.strip_modifiers(id);
        let TypeKind::Pointer(to) = self.kind(id) else { return self.name(id).to_owned() };
        let to = self.strip_modifiers(to);
        let TypeKind::Pointer(end) = self.kind(to) else { return self.name(to).to_owned() };
        format!("{} *", self.name(self.strip_modifiers(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BTF file written by hand: `struct list { struct list *next; }`, `struct inode { int pad; union { struct list
    /// head; int n; }; struct inode *up; int (*op)(const struct inode *, umode_t); }`.
    fn sample() -> Btf {
        let mut strings = vec![0u8];
        let mut text = |s: &str| {
            let at = strings.len() as u32;
            strings.extend_from_slice(s.as_bytes());
            strings.push(0);
            at
        };
        let (int, list, next, inode, pad, head, up, op, umode, n) = (
            text("int"),
            text("list"),
            text("next"),
            text("inode"),
            text("pad"),
            text("head"),
            text("up"),
            text("op"),
            text("umode_t"),
            text("n"),
        );
        let info = |kind: u32, vlen: u32| kind << 24 | vlen;
        let types: Vec<u32> = [
            vec![int, info(1, 0), 4, 32],                                              // 1 int
            vec![list, info(4, 1), 8, next, 3, 0],                                     // 2 struct list
            vec![0, info(2, 0), 2],                                                    // 3 *list
            vec![0, info(5, 2), 8, head, 2, 0, n, 1, 0],                               // 4 union
            vec![inode, info(4, 4), 32, pad, 1, 0, 0, 4, 64, up, 6, 128, op, 10, 192], // 5 struct inode
            vec![0, info(2, 0), 5],                                                    // 6 *inode
            vec![0, info(10, 0), 5],                                                   // 7 const inode
            vec![0, info(2, 0), 7],                                                    // 8 *const inode
            vec![umode, info(8, 0), 1],                                                // 9 umode_t
            vec![0, info(2, 0), 11],                                                   // 10 *proto
            vec![0, info(13, 2), 1, 0, 8, 0, 9],                                       // 11 proto
        ]
        .concat();
        let type_bytes: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut data = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, type_bytes.len() as u32, type_bytes.len() as u32, strings.len() as u32] {
            data.extend_from_slice(&u32::to_le_bytes(word));
        }
        data.extend(type_bytes);
        data.extend(strings);
        Btf::parse(data, None, "sample").expect("the sample is valid")
    }

    #[test]
    fn members_are_found_through_anonymous_unions() {
        assert_eq!(sample().offset_of("inode", &["head"]), Ok(8));
        assert_eq!(sample().offset_of("inode", &["head", "next"]), Ok(8));
        assert_eq!(sample().offset_of("inode", &["absent"]), Err("no field inode.absent".to_owned()));
    }

    #[test]
    fn a_walk_dereferences_pointers_and_adds_embedded_offsets() {
        let (steps, end) = sample().walk("inode", &["up", "head", "next"]).expect("the path exists");
        assert_eq!(steps, [Step::Dereference(16), Step::Embedded(8), Step::Dereference(0)]);
        assert_eq!(end, "list");
    }

    #[test]
    fn slots_name_argument_types_without_qualifiers() {
        let slots = sample().slots("inode");
        assert_eq!(slots.len(), 1);
        assert_eq!((slots[0].0.as_str(), slots[0].1), ("op", 24));
        assert_eq!(slots[0].2.arguments, ["inode", "umode_t"]);
        assert_eq!(slots[0].2.result, "int");
    }

    /// A file of these types over the sample's strings: `list` is string 5, `next` 10, `head` 25.
    fn of_types(types: &[u32]) -> Btf {
        let sample = sample().data;
        let strings_at = 24 + u32::from_le_bytes([sample[12], sample[13], sample[14], sample[15]]) as usize;
        let strings = &sample[strings_at..];
        let mut data = vec![0x9f, 0xeb, 1, 0];
        let bytes = (types.len() * 4) as u32;
        for word in [24, 0, bytes, bytes, strings.len() as u32] {
            data.extend_from_slice(&u32::to_le_bytes(word));
        }
        data.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        data.extend(strings);
        Btf::parse(data, None, "by hand").expect("the types are whole")
    }

    #[test]
    fn types_that_go_round_in_circles_have_no_members() {
        let (list, next) = (5, 10);
        // struct list { T next; }, where T is const T, and a typedef of a typedef of itself.
        for circle in [[0, 10 << 24, 2], [0, 8 << 24, 2]] {
            let btf = of_types(&[[list, 4 << 24 | 1, 8, next, 2, 0].as_slice(), &circle].concat());
            assert_eq!(btf.walk("list", &["next"]).expect("the member is there").0, [Step::Embedded(0)]);
            assert!(btf.walk("list", &["next", "head"]).is_err());
            assert!(btf.value_at("list", &["next"]).is_err(), "it has no width");
            assert!(btf.slots("list").is_empty());
        }
        // struct list { struct list; struct list; … }
        let anonymous: Vec<u32> = (0..40).flat_map(|_| [0, 1, 0]).collect();
        let btf = of_types(&[[list, 4 << 24 | 0x28, 8].as_slice(), &anonymous].concat());
        assert_eq!(btf.offset_of("list", &["head"]), Err("no field list.head".to_owned()));
    }

    #[test]
    fn an_offset_beyond_all_bounds_is_none() {
        let (list, head, far) = (5, 25, u32::MAX);
        let inner = [0, 4 << 24 | 1, 8, head, 0, far];
        let outer = [list, 4 << 24 | 1, 8, 0, 1, far];
        let btf = of_types(&[inner, outer].concat());
        // Two eighths of 2^32 fit; nine of them do not.
        assert_eq!(btf.offset_of("list", &["head"]), Ok(far / 8 * 2));
        let deep: Vec<u32> = (0..9).flat_map(|n| [if n == 8 { list } else { 0 }, 4 << 24 | 1, 8, 0, n, far]).collect();
        let btf = of_types(&[[0, 4 << 24 | 1, 8, head, 0, far].as_slice(), &deep[6..]].concat());
        assert!(btf.offset_of("list", &["head"]).is_err());
    }

    #[test]
    fn damaged_files_are_refused_at_every_length() {
        let whole = sample().data.clone();
        for len in 0..whole.len() {
            assert!(Btf::parse(whole[..len].to_vec(), None, "cut").is_err(), "{len} bytes were accepted");
        }
    }
}
