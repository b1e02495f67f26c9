//! stub
use super::fault::*;
pub struct ErrorFields<'a> { pub severity: Option<&'a [u8]>, pub code: Option<[u8;5]> }
impl<'a> ErrorFields<'a> { pub fn read(_b: &'a [u8]) -> Self { Self{severity:None,code:None} } pub fn is_fatal(&self)->bool{false} }
pub fn append_fault(_o: &mut Vec<u8>, _f: &Fault, _p: Phase) {}
