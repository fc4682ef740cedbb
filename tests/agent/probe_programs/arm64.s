/* Says which machine it runs on (uname, field 5), and with an argument also runs calls and branches.
   fleet_agent/emulation.py holds what this assembles to; test_emulation.py compares the two. */
.global _start
_start:
 ldr x19,[sp]
 sub sp,sp,#512
 mov x0,sp
 mov x8,#160
 svc #0
 add x1,sp,#260
 mov x2,#0
1: ldrb w3,[x1,x2]
 cbz w3,2f
 add x2,x2,#1
 b 1b
2: mov w3,#10
 strb w3,[x1,x2]
 add x2,x2,#1
 mov x0,#1
 mov x8,#64
 svc #0
 cmp x19,#1
 b.le 4f
 movz x4,#0x2d40
 movk x4,#0x4c,lsl #16
 mov x5,#1
 adr x9,f1
 adr x10,f2
3: tst x5,#4
 csel x11,x9,x10,eq
 blr x11
 tst x5,#8
 csel x11,x9,x10,ne
 blr x11
 subs x4,x4,#1
 b.ne 3b
4: mov x0,#0
 mov x8,#93
 svc #0
f1: ldr x6,[sp]
 add x6,x6,x5
 str x6,[sp]
 eor x5,x5,x6,lsr #3
 ret
f2: ldr x6,[sp]
 add x5,x5,x4
 tbz x5,#1,5f
 sub x6,x6,x5,lsl #2
 str x6,[sp]
5: ret
